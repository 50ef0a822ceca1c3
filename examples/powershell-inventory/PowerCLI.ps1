# What the cmdlets do by PowerCLI. Where its modules are in the package's lock, Airlock has connected them before a cmdlet
# starts: with the execution's own token, through its broker.

# The description of the users that Set-ServiceAccount makes: it leaves all others alone.
$MadeBy = 'Service account kept by Airlock'

# Ends a cmdlet that needs a module which is not in the lock.
function Assert-Module {
    param([string]$Cmdlet, [string]$Module)
    if (-not (Get-Module -Name $Module)) {
        throw "$Cmdlet needs the module $Module, which is not in the package's lock: import it, and name it in the module's RequiredModules."
    }
}

# Writes a line for each object, and sets <kind>Count and <kind>Names.
function Write-Inventory {
    param([string]$Kind, [object[]]$Objects, [scriptblock]$State)
    $sorted = @($Objects | Where-Object { $_ } | Sort-Object -Property Name)
    $sorted | ForEach-Object -Process {
        $text = $_ | ForEach-Object -Process $State
        '{0,-7} {1} ({2})' -f $Kind, $_.Name, $text
    }
    $NamedOutputs["${Kind}Count"] = $sorted.Count
    $NamedOutputs["${Kind}Names"] = @($sorted | Select-Object -First 100 -ExpandProperty Name)
}

# Makes the user where it does not exist, or gives it the password that was made now.
function Set-AccountUser {
    param([string]$Name, $User, [string]$State)
    $password = $PersistentSecrets["$Name-password"]
    if (-not $User) {
        $null = New-SsoPersonUser -UserName $Name -Password $password -Description $MadeBy -ErrorAction Stop
    } elseif ($State -ne 'reused') {
        $null = Set-SsoPersonUser -User $User -NewPassword $password -ErrorAction Stop
    }
    "user ${Name}: password $State"
}

# Makes the role, or gives it the privileges that CloudAdmins has now.
function Set-AccountRole {
    param([string]$Name, $Role)
    $privileges = Get-VIPrivilege -Role (Get-VIRole -Name 'CloudAdmins' -ErrorAction Stop) -ErrorAction Stop
    if ($Role) {
        $null = Set-VIRole -Role $Role -AddPrivilege $privileges -Confirm:$false -ErrorAction Stop
    } else {
        $null = New-VIRole -Name $Name -Privilege $privileges -ErrorAction Stop
    }
    "role ${Name}: $(@($privileges).Count) privileges, as CloudAdmins has"
}
