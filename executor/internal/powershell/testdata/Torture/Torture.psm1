# The cmdlets with which the suite runtimetest tries a runtime. What they show is what its Go script shows.

function Write-All {
    [CmdletBinding()] param()
    'stream 1'
    Write-Information 'stream 2'
    Write-Warning 'stream 3'
    Write-Error 'stream 4'
    Write-Progress -Activity 'copying' -Status '3 of 7'
    Write-Progress -Activity 'copying' -Completed
    ''
    'last'
    Set-Variable -Scope Global -Name NamedOutputs -Value @{ one = '1'; two = 'zwei' }
}

# Shows all that it was told, secrets included.
function Write-Start {
    [CmdletBinding()] param([string] $Plain, [securestring] $Password, [pscredential] $Login)
    $secrets = @{}
    foreach ($name in $global:PersistentSecrets.Keys) { $secrets[$name] = [string] $global:PersistentSecrets[$name] }
    ConvertTo-Json -Compress -Depth 4 -InputObject @{
        VCAddress      = $global:VC_ADDRESS
        SddcDNSSuffix  = $global:SddcDnsSuffix
        SddcResourceID = $global:SddcResourceId
        AadAuthority   = $global:AadAuthority
        Parameters     = @{
            Plain    = @{ Type = 'String'; Value = $Plain }
            Password = @{ Type = 'SecureString' }
            Login    = @{ Type = 'Credential'; Username = $Login.UserName }
        }
        Secrets        = $secrets
        Secure         = @{
            Plain    = ''
            Password = [System.Net.NetworkCredential]::new('', $Password).Password
            Login    = $Login.GetNetworkCredential().Password
        }
    }
}

# Writes past PowerShell.
function Write-Plain {
    [CmdletBinding()] param()
    $text = "one`ntwo`r`n`n" + [string]::new([char] 0xE4, 1MB) + "`nunfinished"
    foreach ($to in @{ Stream = [Console]::OpenStandardOutput(); Text = $text }, @{ Stream = [Console]::OpenStandardError(); Text = "an error`n" }) {
        $bytes = [System.Text.Encoding]::UTF8.GetBytes($to.Text)
        $to.Stream.Write($bytes, 0, $bytes.Length)
        $to.Stream.Flush()
    }
}

function Write-Lines {
    [CmdletBinding()] param([int] $Count)
    for ($i = 0; $i -lt $Count / 4; $i++) {
        "line $i of stream 1"
        Write-Information "line $i of stream 2"
        Write-Warning "line $i of stream 3"
        Write-Error "line $i of stream 4"
    }
}

function Write-Flood {
    [CmdletBinding()] param()
    $line = 'flood ' * 20
    while ($true) { $line }
}

function Set-Secrets {
    [CmdletBinding()] param([string] $Value)
    $global:PersistentSecrets['made-by-script'] = $Value
    $global:PersistentSecrets['removed'] = $null
}

function Stop-Failing {
    [CmdletBinding()] param()
    $global:PersistentSecrets['failing'] = 'kept-by-nobody'
    $global:NamedOutputs = @{ kept = 'no' }
    Write-Error 'about to fail'
    throw 'The disk is too small.'
}

function Stop-Hard {
    [CmdletBinding()] param()
    'before the end'
    [Environment]::Exit(3)
}

function Stop-Killed {
    [CmdletBinding()] param()
    Stop-Process -Id $PID -Force
    Start-Sleep -Seconds 1000
}

function Wait-Cancel {
    [CmdletBinding()] param()
    try {
        'ready'
        Start-Sleep -Seconds 1000
    } finally {
        'asked: finally'
        $global:PersistentSecrets['canceled'] = 'kept-by-nobody'
    }
}

# Waits in a call that PowerShell cannot interrupt.
function Wait-Forever {
    [CmdletBinding()] param()
    'ready'
    [System.Threading.Thread]::Sleep(-1)
}

# Leaves processes that hold its standard output open.
function Start-Children {
    [CmdletBinding()] param()
    $same = Start-Process -PassThru -FilePath /bin/sleep -ArgumentList 1000
    Write-Host "same $($same.Id)"
    $session = Start-Process -PassThru -FilePath setsid -ArgumentList sleep, 1000
    Write-Host "session $($session.Id)"
    'ready'
}
