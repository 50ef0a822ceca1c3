# How a cmdlet ends. What stands before each function in lines of "#:" is what an execution of it shows; see ../README.md.

#: call
#: from cmd-test-nonterminating
#: Output before
#: Error plain error
#: Output after
function Write-NonTerminating {
    [CmdletBinding()]
    param()
    'before'
    Write-Error 'plain error'
    'after'
}

#: call
#: from stream-error-cmdlet
#: Error Cannot find path '/no/such/path' because it does not exist.
#: Output after
function Write-CmdletError {
    [CmdletBinding()]
    param()
    Get-Item -Path /no/such/path
    'after'
}

#: call
#: from cmd-test-writeerrorrecord
#: Output before
#: Error details text
#: Output after
function Write-ErrorRecord {
    [CmdletBinding()]
    param()
    'before'
    $record = [System.Management.Automation.ErrorRecord]::new([System.Exception]::new('message'), 'AnId', 'InvalidData', $null)
    $record.ErrorDetails = [System.Management.Automation.ErrorDetails]::new('details text')
    $PSCmdlet.WriteError($record)
    'after'
}

#: call
#: from cmd-test-throw
#: Output before
#: ends Failed
#: says boom
#: says Stop-ByThrow
#: says line {here}
function Stop-ByThrow {
    [CmdletBinding()]
    param()
    'before'
    throw 'boom' # here
    'never'
}

#: call
#: from state-error-variable
#: Output outer
#: Output inner
#: ends Failed
#: says deep boom
#: says Invoke-Inner
#: says line {here}
function Stop-InNestedFunction {
    [CmdletBinding()]
    param()
    'outer'
    Invoke-Inner
    'never'
}

function Invoke-Inner {
    'inner'
    throw 'deep boom' # here
}

#: call
#: from end-throw-exception
#: Output a
#: ends Failed
#: says bad op
function Stop-ByException {
    [CmdletBinding()]
    param()
    'a'
    throw [System.InvalidOperationException]::new('bad op')
}

#: call
#: from end-throw-empty
#: Output a
#: ends Failed
#: says ScriptHalted
function Stop-ByEmptyThrow {
    [CmdletBinding()]
    param()
    'a'
    throw
}

#: call
#: from end-throw-multiline
#: ends Failed
#: says l1
function Stop-ByMultilineThrow {
    [CmdletBinding()]
    param()
    throw "l1`nl2 é 😀"
}

#: call
#: from end-unhandled-in-class
#: Output a
#: ends Failed
#: says in class
function Stop-InClass {
    [CmdletBinding()]
    param()
    'a'
    [Thrower]::Raise()
    'b'
}

class Thrower {
    static [void] Raise() { throw 'in class' }
}

#: call
#: from cmd-test-throwterminating
#: Output before
#: ends Failed
#: says terminated here
function Stop-ByTerminatingError {
    [CmdletBinding()]
    param()
    'before'
    $PSCmdlet.ThrowTerminatingError([System.Management.Automation.ErrorRecord]::new(
            [System.Exception]::new('terminated here'), 'AnId', 'NotSpecified', $null))
    'never'
}

#: call
#: from stream-error-ea-stop
#: ends Failed
#: says e4711
function Stop-ByErrorAction {
    [CmdletBinding()]
    param()
    Write-Error 'e4711' -ErrorAction Stop
    'after'
}

#: call
#: from end-eap-stop
#: Output a
#: ends Failed
#: says Cannot find path '/nope' because it does not exist
function Stop-ByPreference {
    [CmdletBinding()]
    param()
    $ErrorActionPreference = 'Stop'
    'a'
    Get-Item -Path /nope
    'b'
}

#: call
#: from stream-warning-action-stop
#: Warning w4711
#: ends Failed
#: says w4711
function Stop-ByWarningAction {
    [CmdletBinding()]
    param()
    Write-Warning 'w4711' -WarningAction Stop
    'after'
}

#: call
#: from end-exit
#: Output a
function Stop-ByExit {
    [CmdletBinding()]
    param()
    'a'
    exit
    'b'
}

#: call
#: from cmd-test-exit
#: Output before
#: ends Failed
#: says 3
function Stop-ByExitCode {
    [CmdletBinding()]
    param()
    'before'
    exit 3
    'after'
}

#: call
#: from end-exit-in-function
#: Output a
#: Output in
#: ends Failed
#: says 2
function Stop-ByExitInFunction {
    [CmdletBinding()]
    param()
    'a'
    Exit-Inner
    'b'
}

function Exit-Inner {
    'in'
    exit 2
}

#: call
#: from end-exit-in-scriptblock
#: Output a
#: ends Failed
#: says 2
function Stop-ByExitInScriptBlock {
    [CmdletBinding()]
    param()
    'a'
    & { exit 2 }
    'b'
}

#: call
#: from end-exit-in-try
#: Output a
#: Output fin
#: ends Failed
#: says 2
function Stop-ByExitInTry {
    [CmdletBinding()]
    param()
    try {
        'a'
        exit 2
    } finally {
        'fin'
    }
    'b'
}

#: call
#: from end-exit-in-foreach
#: Output 1
#: Output 2
#: ends Failed
#: says 1
function Stop-ByExitInPipeline {
    [CmdletBinding()]
    param()
    1..3 | ForEach-Object {
        $_
        if ($_ -eq 2) { exit 1 }
    }
    'b'
}

#: call
#: from end-host-exit
#: Output b
#: ends Failed
#: says 9
function Stop-ByHost {
    [CmdletBinding()]
    param()
    $Host.SetShouldExit(9)
    'b'
}

#: call
#: from end-return
#: Output a
#: Output r
function Stop-ByReturn {
    [CmdletBinding()]
    param()
    'a'
    return 'r'
    'b'
}

#: call
#: from end-break
#: Output a
function Stop-ByBreak {
    [CmdletBinding()]
    param()
    'a'
    break
    'b'
}

#: call
#: from end-continue-in-function
#: Output a
#: Output in
function Stop-ByContinue {
    [CmdletBinding()]
    param()
    'a'
    Continue-Inner
    'b'
}

function Continue-Inner {
    'in'
    continue
}

#: call
#: from end-select-first
#: Warning w1
#: Output 1
#: Warning w2
#: Output 2
#: Output b
function Stop-Upstream {
    [CmdletBinding()]
    param()
    1..5 | ForEach-Object {
        Write-Warning "w$_"
        $_
    } | Select-Object -First 2
    'b'
}

#: call
#: from end-trap-continue
#: Output a
#: Output trapped x
#: Output b
function Resume-ByTrap {
    [CmdletBinding()]
    param()
    trap {
        "trapped $_"
        continue
    }
    'a'
    throw 'x'
    'b'
}

#: call
#: from end-trap-break
#: Output a
#: Output trapped x4711
#: ends Failed
#: says x4711
function Stop-ByTrap {
    [CmdletBinding()]
    param()
    trap {
        "trapped $_"
        break
    }
    'a'
    throw 'x4711'
    'b'
}

#: call
#: from end-div-zero
#: Output a
#: Error Attempted to divide by zero.
#: Output b
function Write-DivideByZero {
    [CmdletBinding()]
    param()
    $zero = 0
    'a'
    1 / $zero
    'b'
}

#: call
#: from end-div-zero-caught
#: Output caught System.Management.Automation.RuntimeException
#: Output b
function Resume-ByCatch {
    [CmdletBinding()]
    param()
    $zero = 0
    try { 1 / $zero } catch { 'caught ' + $_.Exception.GetType().FullName }
    'b'
}

#: call
#: from stream-error-rethrow
#: Output caught PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand
#: ends Failed
#: says Cannot find path '/nope' because it does not exist
function Stop-ByRethrow {
    [CmdletBinding()]
    param()
    try {
        Get-Item -Path /nope -ErrorAction Stop
    } catch {
        'caught ' + $_.FullyQualifiedErrorId
        throw
    }
}

#: call
#: from convert-order-finally
#: Output a
#: Warning fin
#: Output fin out
#: ends Failed
#: says boom
function Stop-WithFinally {
    [CmdletBinding()]
    param()
    try {
        'a'
        throw 'boom'
    } finally {
        Write-Warning 'fin'
        'fin out'
    }
}

#: call
#: from end-finally-throws
#: ends Failed
#: says second
function Stop-InFinally {
    [CmdletBinding()]
    param()
    try { throw 'first' } finally { throw 'second' }
}

#: call
#: from end-pipeline-stopped-exception
#: Output a
#: ends Failed
function Stop-ByPipelineStopped {
    [CmdletBinding()]
    param()
    'a'
    throw [System.Management.Automation.PipelineStoppedException]::new()
    'b'
}

#: call
#: from cmd-missing-in-script
#: Output a
#: Error ~ ^The term 'Get-NothingLikeThis' is not recognized
#: Output b
function Write-MissingCommand {
    [CmdletBinding()]
    param()
    'a'
    Get-NothingLikeThis
    'b'
}

#: call
#: from end-eap-stop-command-not-found
#: Output a
#: ends Failed
#: says The term 'Get-NothingLikeThis' is not recognized
function Stop-ByMissingCommand {
    [CmdletBinding()]
    param()
    $ErrorActionPreference = 'Stop'
    'a'
    Get-NothingLikeThis
    'b'
}

#: call
#: from stream-error-dotnet-null
#: Error You cannot call a method on a null-valued expression.
#: Output after
function Write-MethodOnNull {
    [CmdletBinding()]
    param()
    $nothing = $null
    $nothing.Method()
    'after'
}

#: call
#: from stream-error-dotnet
#: Error Exception calling "Parse" with "1" argument(s): "The input string 'x' was not in a correct format."
#: Output after
function Write-DotNetError {
    [CmdletBinding()]
    param()
    [int]::Parse('x')
    'after'
}

#: call
#: from end-stackoverflow-function
#: Output a
#: Error ~ ^The script failed due to call depth overflow
#: Output b
function Write-CallDepthOverflow {
    [CmdletBinding()]
    param()
    'a'
    Invoke-Self
    'b'
}

function Invoke-Self { Invoke-Self }

#: call
#: from process-environment-exit
#: Output a
#: ends Failed
#: says process ended
function Stop-OwnProcess {
    [CmdletBinding()]
    param()
    'a'
    [System.Environment]::Exit(5)
}
