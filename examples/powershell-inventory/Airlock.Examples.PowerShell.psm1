# The script package Airlock.Examples.PowerShell: an example for vendors, and what the demo runs. It shows each thing that a
# cmdlet in PowerShell does: take parameters, write to the streams, leave named outputs, keep a secret from one execution to
# the next, fail, and be told to stop; and with PowerCLI, read a vCenter and work on its accounts.
#
# Airlock sets, before it imports a module: $VC_ADDRESS, $SddcDnsSuffix, $SddcResourceId, $AadAuthority, $PersistentSecrets and
# $NamedOutputs, both hashtables. Entries of those two are kept when the cmdlet ends well.

. (Join-Path -Path $PSScriptRoot -ChildPath 'Password.ps1')
. (Join-Path -Path $PSScriptRoot -ChildPath 'PowerCLI.ps1')

<#
.SYNOPSIS
    Makes a password for a service account, and keeps it as a persistent secret.
.DESCRIPTION
    It can be run again and again: a password that is there stays, unless another one is asked for.
#>
function Set-ServicePassword {
    [CmdletBinding()]
    [AVSAttribute(5, UpdatesSDDC = $false)]
    param(
        [Parameter(HelpMessage = 'Name of the account, svc-airlock by default')]
        [ValidatePattern('^[a-zA-Z][0-9a-zA-Z-]{0,63}$')]
        [string]$Name = 'svc-airlock',

        [Parameter(HelpMessage = 'Whether another password is made where there is one')]
        [switch]$Renew
    )
    $state = Update-Password -Name $Name -Renew:$Renew
    "account ${Name}: password $state"
    $NamedOutputs['account'] = $Name
    $NamedOutputs['password'] = $state
}

<#
.SYNOPSIS
    Writes on all streams, sets a secret and a named output, and fails: nothing of it is kept.
#>
function Invoke-Failure {
    [CmdletBinding()]
    [AVSAttribute(5, UpdatesSDDC = $false)]
    param()
    'one line of output'
    Write-Information @{ step = 1 }
    Write-Warning 'the next step will fail'
    Write-Error 'the next step failed' # a cmdlet goes on after Write-Error
    $PersistentSecrets['never-kept'] = New-Password
    $NamedOutputs['neverKept'] = 'set by a cmdlet that fails'
    throw 'This cmdlet always fails; run Set-ServicePassword to see one that does not.'
}

<#
.SYNOPSIS
    Waits until the time is over, or until it is asked to end.
#>
function Start-Sleep {
    [CmdletBinding()]
    [AVSAttribute(60, UpdatesSDDC = $false)]
    param(
        [Parameter(Mandatory, HelpMessage = 'How long to wait, in seconds')]
        [ValidateRange(0, 3600)]
        [int]$Seconds,

        [Parameter(HelpMessage = 'Whether to go on when asked to end, until the kill')]
        [switch]$IgnoreCancel
    )
    "sleeping for $Seconds s"
    $slept = $false
    try {
        if ($IgnoreCancel) {
            [System.Threading.Thread]::Sleep($Seconds * 1000) # PowerShell cannot interrupt what .NET does
        } else {
            Microsoft.PowerShell.Utility\Start-Sleep -Seconds $Seconds # by its whole name: this function has the same one
        }
        $slept = $true
        'slept'
    } finally {
        # When a cmdlet is asked to end, its finally blocks run, and what they write arrives; catch blocks do not run.
        if (-not $slept) { Write-Warning 'asked to end' }
    }
}

<#
.SYNOPSIS
    Lists clusters, hosts and virtual machines. Needs PowerCLI.
#>
function Get-Inventory {
    [CmdletBinding()]
    [AVSAttribute(5, UpdatesSDDC = $false)]
    param(
        [Parameter(HelpMessage = 'Whether to list the virtual machines too, true by default')]
        [bool]$Machines = $true
    )
    Assert-Module -Cmdlet 'Get-Inventory' -Module 'VMware.VimAutomation.Core'
    Write-Information "connected to $($global:DefaultVIServer.Name)"
    Write-Inventory -Kind 'cluster' -Objects (Get-Cluster -ErrorAction Stop) -State { "$(@($_.ExtensionData.Host).Count) hosts" }
    Write-Inventory -Kind 'host' -Objects (Get-VMHost -ErrorAction Stop) -State { $_.ConnectionState }
    if ($Machines) {
        Write-Inventory -Kind 'vm' -Objects (Get-VM -ErrorAction Stop) -State { $_.PowerState }
    }
}

<#
.SYNOPSIS
    Makes an SSO user with a password that Airlock keeps, and a role with the privileges of CloudAdmins. Needs PowerCLI.
.DESCRIPTION
    It can be run again and again: it makes what is missing and leaves the rest. It takes over neither a user nor a role that it
    has not made.
#>
function Set-ServiceAccount {
    [CmdletBinding()]
    [AVSAttribute(5, UpdatesSDDC = $false)]
    param(
        [Parameter(HelpMessage = 'Name of the user and of its role, svc-airlock by default')]
        [ValidatePattern('^[a-zA-Z][0-9a-zA-Z-]{0,63}$')]
        [string]$Name = 'svc-airlock',

        [Parameter(HelpMessage = 'The domain of SSO, vsphere.local by default')]
        [string]$Domain = 'vsphere.local'
    )
    Assert-Module -Cmdlet 'Set-ServiceAccount' -Module 'VMware.VimAutomation.Core'
    Assert-Module -Cmdlet 'Set-ServiceAccount' -Module 'VMware.vSphere.SsoAdmin'
    $user = Get-SsoPersonUser -Name $Name -Domain $Domain -ErrorAction Stop
    $role = Get-VIRole -Name $Name -ErrorAction Ignore
    if ($user -and $user.Description -ne $MadeBy) {
        throw "The user $Name exists, and was not made by this cmdlet; choose another name."
    }
    if ($role -and -not $user) {
        throw "The role $Name exists, and was not made by this cmdlet; choose another name or remove the role."
    }
    $state = Update-Password -Name $Name
    Set-AccountUser -Name $Name -User $user -State $state
    Set-AccountRole -Name $Name -Role $role
    $NamedOutputs['user'] = "$Name@$Domain"
    $NamedOutputs['role'] = $Name
    $NamedOutputs['password'] = $state
}
