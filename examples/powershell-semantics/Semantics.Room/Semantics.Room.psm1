# Where a cmdlet runs: files, modules, prompts, processes, the end by a stop. The lines of "#:" are explained in ../README.md.

#: call
#: Output a file of the package
function Get-OwnFile {
    [CmdletBinding()]
    param()
    Get-Content -Path (Join-Path -Path $PSScriptRoot -ChildPath 'data.txt')
}

#: call
#: isolated
#: Output refused
function Set-OwnFile {
    [CmdletBinding()]
    param()
    try {
        [System.IO.File]::WriteAllText((Join-Path -Path $PSScriptRoot -ChildPath 'data.txt'), 'changed')
        'written'
    } catch {
        'refused'
    }
}

#: call
#: Output kept in HOME
#: Output kept in work
#: Output True
function Use-Files {
    [CmdletBinding()]
    param()
    Set-Content -Path (Join-Path -Path $HOME -ChildPath 'note.txt') -Value 'kept in HOME'
    Get-Content -Path (Join-Path -Path $HOME -ChildPath 'note.txt')
    Set-Content -Path 'note2.txt' -Value 'kept in work'
    Get-Content -Path 'note2.txt'
    $temporary = New-TemporaryFile
    Test-Path -Path $temporary.FullName
}

#: call
#: Output 2
#: Output True
#: Output True
function Get-ModulePath {
    [CmdletBinding()]
    param()
    $directories = $env:PSModulePath -split [System.IO.Path]::PathSeparator
    $directories.Count
    $directories[0] -eq (Split-Path -Path $PSScriptRoot)
    $directories[1] -eq (Join-Path -Path $PSHOME -ChildPath 'Modules')
}

#: declares timeout 1200; updates SDDC
#: call
#: from avs-psclass-script
#: Output AVSAttribute Timeout=00:20:00 UpdatesSDDC=True AutomationOnly=False
function Get-Attribute {
    [CmdletBinding()]
    [AVSAttribute(20, UpdatesSDDC = $true)]
    param()
    $MyInvocation.MyCommand.ScriptBlock.Attributes | Where-Object { $_.GetType().Name -eq 'AVSAttribute' } | ForEach-Object {
        "$($_.GetType().Name) Timeout=$($_.Timeout) UpdatesSDDC=$($_.UpdatesSDDC) AutomationOnly=$($_.AutomationOnly)"
    }
}

enum Colour { Red; Green }

class Shape {
    [string]$Name
    [Colour]$Colour = [Colour]::Green
    Shape([string]$name) { $this.Name = $name }
    [string] Describe() { return "$($this.Colour) $($this.Name)" }
}

class Square : Shape {
    Square() : base('square') { }
}

#: call
#: from import-class-use
#: Output Green square
#: Output Green
function Use-Classes {
    [CmdletBinding()]
    param()
    $square = [Square]::new()
    $square.Describe()
    $square.Colour
}

#: call
#: from cmd-caller
#: Output Get-Caller of Semantics.Room 1.0.0
function Get-Caller {
    [CmdletBinding()]
    param()
    $command = $MyInvocation.MyCommand
    "$($command.Name) of $($command.Module.Name) $($command.Module.Version)"
}

#: call
#: from prompt-read-host prompt-get-credential
#: Output a
#: Error ~ ^A command that prompts the user failed because the host program or the command type does not support user interaction
#: Error ~ ^A command that prompts the user failed because the host program or the command type does not support user interaction
#: Output "got  "
function Read-Answers {
    [CmdletBinding()]
    param()
    'a'
    $answer = Read-Host -Prompt 'question'
    $login = Get-Credential
    "got $answer $($login.UserName)"
}

#: call
#: from confirm-pref-none-global
#: Output removed x
function Remove-Thing {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param()
    if ($PSCmdlet.ShouldProcess('x')) { 'removed x' } else { 'kept x' }
}

# Each attempt is reported, by another way than what the cmdlet writes.
#: call
#: isolated
#: in any order
#: Error ~ ^Airlock: the script tried to start a process
#: Error ~ ^Airlock: the script tried to start a process
#: Output native: refused
#: Output process: refused
#: Output after
#: finds child-process
#: finds computed-call
function Start-Children {
    [CmdletBinding()]
    param()
    $program = [System.Environment]::ProcessPath
    $global:LASTEXITCODE = $null
    try { & $program -Version *>&1 | Out-Null } catch { $null = $_ }
    if ($null -eq $LASTEXITCODE) { 'native: refused' } else { 'native: started' }
    try {
        $null = [System.Diagnostics.Process]::Start($program, '-Version')
        'process: started'
    } catch {
        'process: refused'
    }
    'after'
}

#: call
#: isolated
#: Output refused
function Connect-Elsewhere {
    [CmdletBinding()]
    param()
    $client = [System.Net.Sockets.TcpClient]::new()
    try {
        $client.Connect([System.Net.IPAddress]::Parse('192.0.2.1'), 443)
        'connected'
    } catch {
        'refused'
    } finally {
        $client.Dispose()
    }
}

#: call
#: from stop-sleep-finally
#: cancel after started
#: Output started
#: Warning fin warning
#: Output fin out
#: Error fin err
#: ends Canceled
#: call
#: timeout PT10S
#: Output started
#: Warning fin warning
#: Output fin out
#: Error fin err
#: ends Failed ScriptTimedOut
function Wait-Finally {
    [CmdletBinding()]
    param()
    try {
        'started'
        Start-Sleep -Seconds 600
        'slept'
    } finally {
        Write-Warning 'fin warning'
        'fin out'
        Write-Error 'fin err'
    }
}

#: call
#: from stop-catch
#: cancel after started
#: Output started
#: ends Canceled
function Wait-Catch {
    [CmdletBinding()]
    param()
    try {
        'started'
        Start-Sleep -Seconds 600
    } catch {
        'caught'
    }
    'after'
}

# PowerShell cannot interrupt .NET: the process is killed after the grace.
#: call
#: from stop-thread-sleep
#: cancel after started
#: Output started
#: ends Canceled
function Wait-Thread {
    [CmdletBinding()]
    param()
    'started'
    [System.Threading.Thread]::Sleep(600000)
    'slept'
}

#: call
#: from stop-tight-loop
#: cancel after started
#: Output started
#: ends Canceled
function Wait-Loop {
    [CmdletBinding()]
    param()
    'started'
    $i = 0
    while ($true) { $i++ }
}

#: call
#: from stop-wait-event
#: cancel after started
#: Output started
#: ends Canceled
function Wait-ForEvent {
    [CmdletBinding()]
    param()
    'started'
    Wait-Event -SourceIdentifier none
    'after'
}
