# What arrives of what a cmdlet writes, and in which order. The lines of "#:" are explained in ../README.md.

#: call
#: from cmd-streams
#: Output out x
#: Warning warn x
#: Error err x
#: Information info x
#: Information host x
#: Output last x
function Write-Streams {
    [CmdletBinding()]
    param()
    'out x'
    Write-Warning 'warn x'
    Write-Error 'err x'
    Write-Information 'info x'
    Write-Host 'host x'
    Write-Verbose 'verbose x'
    Write-Debug 'debug x'
    Write-Progress -Activity 'act x' -Status 's' -PercentComplete 50
    'last x'
}

#: call
#: from convert-order-interleave
#: Output o1
#: Warning w1
#: Information h1
#: Error e1
#: Output o2
#: Warning w2
#: Information h2
#: Error e2
#: Output o3
#: Warning w3
#: Information h3
#: Error e3
#: Output o4
#: Warning w4
#: Information h4
#: Error e4
#: Output o5
#: Warning w5
#: Information h5
#: Error e5
#: Output o6
#: Warning w6
#: Information h6
#: Error e6
#: Output o7
#: Warning w7
#: Information h7
#: Error e7
#: Output o8
#: Warning w8
#: Information h8
#: Error e8
#: Output o9
#: Warning w9
#: Information h9
#: Error e9
#: Output o10
#: Warning w10
#: Information h10
#: Error e10
function Write-Interleaved {
    [CmdletBinding()]
    param()
    1..10 | ForEach-Object {
        "o$_"
        Write-Warning "w$_"
        Write-Host "h$_"
        Write-Error "e$_"
    }
}

#: call
#: from stream-verbose-switch
#: Output after
function Write-VerboseAndDebug {
    [CmdletBinding()]
    param()
    Write-Verbose 'v' -Verbose
    Write-Debug 'd' -Debug
    'after'
}

#: call
#: from stream-progress
#: Output after
function Write-ProgressOnly {
    [CmdletBinding()]
    param()
    1..3 | ForEach-Object { Write-Progress -Activity 'act' -Status "s$_" -PercentComplete ($_ * 33) }
    Write-Progress -Activity 'act' -Completed
    'after'
}

#: call
#: from stream-information output-hashtable output-pscustomobject
#: Information plain
#: Information tagged
#: Information {"k":1}
#: Information {"N":5}
#: Information 7
function Write-InformationObjects {
    [CmdletBinding()]
    param()
    Write-Information 'plain'
    Write-Information 'tagged' -Tags a, b
    Write-Information @{ k = 1 }
    Write-Information ([pscustomobject]@{ N = 5 })
    Write-Information 7
}

#: call
#: from stream-host-several stream-host-object
#: Information a-1-True-1-2-3
#: Information a b c
#: Information [a, 1]
#: Information @{N=1}
function Write-HostObjects {
    [CmdletBinding()]
    param()
    Write-Host 'a' 1 $true (1, 2, 3) -Separator '-'
    Write-Host a b c
    Write-Host @{ a = 1 }
    Write-Host ([pscustomobject]@{ N = 1 })
}

#: call
#: from stream-host-nonewline
#: Information abc
function Write-HostNoNewline {
    [CmdletBinding()]
    param()
    Write-Host 'a' -NoNewline
    Write-Host 'b' -NoNewline
    Write-Host 'c'
}

#: call
#: from stream-host-text stream-warning-hosted stream-error-multiline convert-string-multiline
#: Output "line1\nline2\r\nline3"
#: Information "two\nlines"
#: Warning "multi\nline"
#: Error "line1\nline2"
function Write-Multiline {
    [CmdletBinding()]
    param()
    "line1`nline2`r`nline3"
    Write-Host "two`nlines"
    Write-Warning "multi`nline"
    Write-Error "line1`nline2"
}

#: call
#: from stream-redirect-error
#: Output o
#: Output e
#: Output o2
function Write-ErrorToOutput {
    [CmdletBinding()]
    param()
    & {
        'o'
        Write-Error 'e'
        'o2'
    } 2>&1
}

#: call
#: from stream-redirect-warning
#: Output w
function Write-WarningToOutput {
    [CmdletBinding()]
    param()
    & { Write-Warning 'w' } 3>&1
}

# Redirection to $null keeps neither warnings nor Write-Host from being seen where PowerShell runs for another program.
#: call
#: from stream-redirect-null
#: Warning w
#: Information h
#: Output after
function Write-ToNull {
    [CmdletBinding()]
    param()
    & {
        'o'
        Write-Error 'e'
        Write-Warning 'w'
        Write-Host 'h'
    } *>$null
    'after'
}

#: call
#: from stream-redirect-null-assign
#: Output after
function Write-ToVariable {
    [CmdletBinding()]
    param()
    $null = & {
        'o'
        Write-Warning 'w'
        Write-Host 'h'
    } *>&1
    'after'
}

#: call
#: from stream-capture
#: Warning w
#: Information h
#: Error e
#: Output captured: o
function Write-Captured {
    [CmdletBinding()]
    param()
    $x = & {
        'o'
        Write-Warning 'w'
        Write-Host 'h'
        Write-Error 'e'
    }
    "captured: $x"
}

#: call
#: from stream-warning-pref-silent
#: Output after
function Write-SilencedWarning {
    [CmdletBinding()]
    param()
    $WarningPreference = 'SilentlyContinue'
    Write-Warning 'w'
    'after'
}

#: call
#: from stream-error-ea-silent
#: Output after 1
function Write-SilencedError {
    [CmdletBinding()]
    param()
    $Error.Clear()
    Write-Error 'e' -ErrorAction SilentlyContinue
    "after $($Error.Count)"
}

#: call
#: from stream-tee
#: Output a
#: Output b
#: Output t=a b
function Write-Tee {
    [CmdletBinding()]
    param()
    'a', 'b' | Tee-Object -Variable t
    "t=$t"
}

#: call
#: from noise-console-writeline
#: Output after
function Write-Console {
    [CmdletBinding()]
    param()
    [System.Console]::WriteLine('raw out')
    [System.Console]::Error.WriteLine('raw err')
    'after'
}

#: call
#: from noise-stdout-stream-junk
#: in any order
#: Output a
#: Output junk
#: Output b
function Write-RawOutput {
    [CmdletBinding()]
    param()
    'a'
    $out = [System.Console]::OpenStandardOutput()
    $bytes = [System.Text.Encoding]::UTF8.GetBytes("junk`n")
    $out.Write($bytes, 0, $bytes.Length)
    $out.Flush()
    'b'
}

#: call
#: from noise-foreach-parallel
#: Output p1
#: Warning w1
#: Output p2
#: Warning w2
#: Output p3
#: Warning w3
#: Error e3
#: Output p4
#: Warning w4
#: Output after
function Write-Parallel {
    [CmdletBinding()]
    param()
    1..4 | ForEach-Object -Parallel {
        "p$_"
        Write-Warning "w$_"
        if ($_ -eq 3) { Write-Error 'e3' }
    } -ThrottleLimit 1
    'after'
}
