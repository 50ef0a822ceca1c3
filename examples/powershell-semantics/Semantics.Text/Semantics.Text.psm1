# What objects become as text. The lines of "#:" are explained in ../README.md.

#: call
#: from convert-string convert-string-empty convert-string-spaces convert-string-unicode convert-string-xml
#: Output hello
#: Output ""
#: Output "  lead and trail  "
#: Output héllo 世界 😀
#: Output <a href="x">&amp; ]]> 'q'</a>
function Get-Strings {
    [CmdletBinding()]
    param()
    'hello'
    ''
    '  lead and trail  '
    'héllo 世界 😀'
    '<a href="x">&amp; ]]> ''q''</a>'
}

#: call
#: from convert-string-control convert-string-escape-literal
#: Output "bel\u0007 tab\t esc\u001b[31m"
#: Output _x000A_ and _x000a_ and _X000A_ and _x00_ and _xD83D_
function Get-Escapes {
    [CmdletBinding()]
    param()
    "bel$([char]7) tab`t esc$([char]27)[31m"
    '_x000A_ and _x000a_ and _X000A_ and _x00_ and _xD83D_'
}

#: call
#: from convert-bool convert-char convert-int convert-long convert-ints-other
#: Output True
#: Output False
#: Output A
#: Output é
#: Output 1
#: Output -5
#: Output 2147483647
#: Output 5000000000
#: Output 1
#: Output -1
#: Output 2
#: Output 3
#: Output 4
#: Output 5
#: Output 6
function Get-Whole {
    [CmdletBinding()]
    param()
    $true
    $false
    [char]'A'
    [char]0x00E9
    1
    -5
    [int]::MaxValue
    [long]5000000000
    [byte]1
    [sbyte]-1
    [int16]2
    [uint16]3
    [uint32]4
    [uint64]5
    [bigint]6
}

#: call
#: from convert-double convert-single convert-decimal
#: Output 1.5
#: Output 1E+300
#: Output NaN
#: Output Infinity
#: Output 0.1
#: Output 1
#: Output 0.1
#: Output 1.1
#: Output 79228162514264337593543950335
function Get-Fractions {
    [CmdletBinding()]
    param()
    1.5
    1e300
    [double]::NaN
    [double]::PositiveInfinity
    0.1
    1.0
    [float]0.1
    [decimal]1.10
    [decimal]::MaxValue
}

#: call
#: from convert-timespan convert-guid convert-version convert-uri convert-ipaddress convert-enum
#: Output 1.02:03:04.5000000
#: Output 00:00:00
#: Output 12345678-1234-1234-1234-123456789abc
#: Output 1.2.3.4
#: Output 7.6.5-rc.1
#: Output https://example.org/a?c=d
#: Output 10.1.2.3
#: Output Monday
#: Output ReadOnly, Hidden
function Get-Values {
    [CmdletBinding()]
    param()
    [timespan]'1.02:03:04.5'
    [timespan]::Zero
    [guid]'12345678-1234-1234-1234-123456789abc'
    [version]'1.2.3.4'
    [semver]'7.6.5-rc.1'
    [uri]'https://example.org/a?c=d'
    [ipaddress]'10.1.2.3'
    [System.DayOfWeek]::Monday
    [System.IO.FileAttributes]'ReadOnly,Hidden'
}

# The recorded converter lost milliseconds and zone; Airlock writes ISO 8601.
#: call
#: from output-datetime
#: Output ~ ^2024-05-06T07:08:09\.123Z$
#: Output ~ ^2024-05-06T00:00:00(\.0+)?$
function Get-Times {
    [CmdletBinding()]
    param()
    [datetime]::new(2024, 5, 6, 7, 8, 9, 123, [System.DateTimeKind]::Utc)
    [datetime]::new(2024, 5, 6)
}

#: call
#: from convert-null-between
#: Output a
#: Output ""
#: Output b
function Get-NullBetween {
    [CmdletBinding()]
    param()
    'a'
    $null
    'b'
}

#: call
#: from convert-array-empty
function Get-Nothing {
    [CmdletBinding()]
    param()
    @()
}

#: call
#: from convert-array-nested convert-array-wrapped-mixed convert-array-empty-wrapped convert-array-typed convert-arraylist
#: Output 1
#: Output [2,3]
#: Output [4,[5,6]]
#: Output [1,"two",null,true]
#: Output []
#: Output ["a","b"]
#: Output [1,2]
#: Output ["a"]
function Get-Arrays {
    [CmdletBinding()]
    param()
    1, (2, 3), (4, (5, 6))
    , @(1, 'two', $null, $true)
    , @()
    , [string[]]('a', 'b')
    , [System.Collections.ArrayList]@(1, 2)
    , [System.Collections.Generic.List[string]]@('a')
}

#: call
#: from convert-bytes
#: Output [1,2,255]
#: Output 1
#: Output 2
function Get-Bytes {
    [CmdletBinding()]
    param()
    , [byte[]](1, 2, 255)
    [byte[]](1, 2)
}

#: call
#: from convert-hashtable-empty convert-hashtable-nested convert-ordered convert-dictionary-generic
#: Output {}
#: Output {"a":{"b":{"c":{"d":"deep"}}}}
#: Output {"z":1,"a":2,"m":3}
#: Output {"a":1}
function Get-Tables {
    [CmdletBinding()]
    param()
    @{}
    @{ a = @{ b = @{ c = @{ d = 'deep' } } } }
    [ordered]@{ z = 1; a = 2; m = 3 }
    $dictionary = [System.Collections.Generic.Dictionary[string, int]]::new()
    $dictionary['a'] = 1
    $dictionary
}

#: call
#: from convert-hashtable-values
#: Output {"n":null,"b":true,"a":[1,2],"e":[],"s":"","day":"Monday","v":"1.2.3","x":"<&>"}
function Get-TableOfValues {
    [CmdletBinding()]
    param()
    [ordered]@{ n = $null; b = $true; a = @(1, 2); e = @(); s = ''; day = [System.DayOfWeek]::Monday; v = [version]'1.2.3'; x = '<&>' }
}

#: call
#: from convert-pscustomobject convert-pscustomobject-nested convert-pscustomobject-empty convert-select-object
#: Output {"Name":"n","Count":3,"On":true,"Nothing":null}
#: Output {"A":{"B":"deep"},"L":[{"I":1},{"I":2}]}
#: Output {}
#: Output {"Length":3,"Calc":2}
function Get-Objects {
    [CmdletBinding()]
    param()
    [pscustomobject]@{ Name = 'n'; Count = 3; On = $true; Nothing = $null }
    [pscustomobject]@{ A = [pscustomobject]@{ B = 'deep' }; L = @([pscustomobject]@{ I = 1 }, [pscustomobject]@{ I = 2 }) }
    [pscustomobject]@{}
    'abc' | Select-Object -Property Length, @{ n = 'Calc'; e = { 1 + 1 } }
}

#: call
#: from output-cyclic
#: Output ~ ^\{"Name":"a","Next":.*
#: Output after
function Get-Cycle {
    [CmdletBinding()]
    param()
    $a = [pscustomobject]@{ Name = 'a'; Next = $null }
    $a.Next = $a
    $a
    'after'
}

#: call
#: from convert-class-instance
#: Output Point 3
function Get-ClassInstance {
    [CmdletBinding()]
    param()
    [Point]::new(3)
}

class Point {
    [int]$X
    Point([int]$x) { $this.X = $x }
    [string] ToString() { return 'Point ' + $this.X }
}

#: call
#: from convert-errorrecord convert-exception
#: Output caught
#: Output ~ ^System.InvalidOperationException: ex message
function Get-Errors {
    [CmdletBinding()]
    param()
    try { throw 'caught' } catch { $_ }
    [System.InvalidOperationException]::new('ex message')
}

#: call
#: from convert-json-object convert-json-array convert-convertto-json
#: Output {"a":1,"b":[1,2,{"c":null}],"e":1.5}
#: Output 1
#: Output 2
#: Output {"a":1}
function Get-Json {
    [CmdletBinding()]
    param()
    '{"a":1,"b":[1,2,{"c":null}],"e":1.5}' | ConvertFrom-Json
    '[1,2]' | ConvertFrom-Json
    @{ a = 1 } | ConvertTo-Json -Compress
}

#: call
#: from convert-format-table convert-format-between
#: Output before
#: Output ~ ^\s*Name Count\n---- -----\nn        3\nm        4\s*$
#: Output after
function Get-Table {
    [CmdletBinding()]
    param()
    'before'
    [pscustomobject]@{ Name = 'n'; Count = 3 }, [pscustomobject]@{ Name = 'm'; Count = 4 } | Format-Table
    'after'
}

#: call
#: from convert-format-list
#: Output ~ ^\s*Name  : n\nCount : 3\s*$
function Get-List {
    [CmdletBinding()]
    param()
    [pscustomobject]@{ Name = 'n'; Count = 3 } | Format-List
}

#: call
#: from convert-out-string
#: Output ~ ^\s*Name Count\n---- -----\nn        3\s*$
#: Output x
function Get-OutString {
    [CmdletBinding()]
    param()
    [pscustomobject]@{ Name = 'n'; Count = 3 } | Out-String
    'x' | Out-String -Stream
}

# Nothing that is sent to the console is lost, though there is none.
#: call
#: from convert-out-host convert-out-default
#: Information a
#: Information ~ ^\s*N\n-\n1\s*$
#: Information c
#: Output b
function Get-OutHost {
    [CmdletBinding()]
    param()
    'a' | Out-Host
    [pscustomobject]@{ N = 1 } | Out-Host
    'c' | Out-Default
    'b'
}

#: call
#: from convert-securestring convert-pscredential
#: Output System.Security.SecureString
#: Output System.Management.Automation.PSCredential
#: Output after
function Get-Secrets {
    [CmdletBinding()]
    param()
    $text = [System.Security.SecureString]::new()
    foreach ($c in 's3cret'.ToCharArray()) { $text.AppendChar($c) }
    $text
    [pscredential]::new('user1', $text)
    'after'
}
