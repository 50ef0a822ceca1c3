# How arguments reach a cmdlet. The lines of "#:" are explained in ../README.md.

#: declares Name String required; Count Int; Flag Bool; Ratio Float; Force Bool
#: call {"Name": "n", "Count": 5, "Flag": true, "Ratio": 1.5, "Force": true}
#: from param-basic
#: Output Count [System.Int32] 5
#: Output Flag [System.Boolean] True
#: Output Force [System.Management.Automation.SwitchParameter] True
#: Output Name [System.String] n
#: Output Ratio [System.Double] 1.5
#: call {"name": "N", "FORCE": false}
#: from param-case param-switch-false
#: Output Force [System.Management.Automation.SwitchParameter] False
#: Output Name [System.String] N
#: call {"Count": 1}
#: refused Name
#: call {"Name": "n", "Nope": 1}
#: refused Nope
#: call {"Name": "n", "Count": "five"}
#: refused Count
function Get-Bound {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)]
        [string]$Name,
        [int]$Count,
        [bool]$Flag,
        [double]$Ratio,
        [switch]$Force
    )
    foreach ($key in $PSBoundParameters.Keys | Sort-Object) {
        '{0} [{1}] {2}' -f $key, $PSBoundParameters[$key].GetType().FullName, $PSBoundParameters[$key]
    }
}

#: declares Text String required
#: call {"Text": "hé\n😀 _x0041_ \u0007 $env:HOME `n '"}
#: from param-name-unicode
#: Output "hé\n😀 _x0041_ \u0007 $env:HOME `n '"
#: call {"Text": "5"}
#: Output 5
function Get-Text {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)]
        [string]$Text
    )
    $Text
}

# Types that the API does not know go as text, and PowerShell makes of it what the parameter asks for.
#: declares When String; Span String; Id String; Link String; Version String; Day String; Big String; Tags String
#: call {"When": "2024-05-06T07:08:09", "Span": "00:01:00", "Id": "12345678-1234-1234-1234-123456789abc", "Link": "https://example.org/", "Version": "1.2", "Day": "friday", "Big": "5000000000", "Tags": "a,b"}
#: from param-datetime-from-string param-timespan-from-string param-uri-version-guid param-enum-from-string param-list-from-string
#: Output Big [System.Int64] 5000000000
#: Output Day [System.DayOfWeek] Friday
#: Output Id [System.Guid] 12345678-1234-1234-1234-123456789abc
#: Output Link [System.Uri] https://example.org/
#: Output Span [System.TimeSpan] 00:01:00
#: Output Tags [System.String[]] a,b
#: Output Version [System.Version] 1.2
#: Output When [System.DateTime] 05/06/2024 07:08:09
#: call {"When": "16/05/2024"}
#: from param-datetime-eu
#: ends Failed
#: says Cannot convert value "16/05/2024" to type "System.DateTime"
#: call {"Day": "Someday"}
#: from param-enum-bad
#: ends Failed
#: says Unable to match the identifier name Someday to a valid enumerator name
function Get-Converted {
    [CmdletBinding()]
    param(
        [datetime]$When,
        [timespan]$Span,
        [guid]$Id,
        [uri]$Link,
        [version]$Version,
        [System.DayOfWeek]$Day,
        [long]$Big,
        [string[]]$Tags
    )
    foreach ($key in $PSBoundParameters.Keys | Sort-Object) {
        '{0} [{1}] {2}' -f $key, $PSBoundParameters[$key].GetType().FullName, ($PSBoundParameters[$key] -join ',')
    }
}

#: declares Mode String; Limit Int
#: call {"Mode": "GREEN", "Limit": 9}
#: from param-validateset-case
#: Output GREEN 9
#: call {"Mode": "blue"}
#: from param-validateset-bad
#: ends Failed
#: says does not belong to the set "red,green"
#: call {"Limit": 11}
#: ends Failed
#: says Cannot validate argument on parameter 'Limit'
function Get-Validated {
    [CmdletBinding()]
    param(
        [ValidateSet('red', 'green')]
        [string]$Mode,
        [ValidateRange(1, 10)]
        [int]$Limit
    )
    "$Mode $Limit"
}

#: declares Key SecureString required; Login Credential
#: call {"Key": {"secret": "correct horse battery"}, "Login": {"user": "operator", "secret": "staple 4711"}}
#: Output Key [System.Security.SecureString] 21
#: Output Login [System.Management.Automation.PSCredential] operator 11
#: Output they are right: True
#: Output [redacted]
#: finds secret-in-stream
#: call {"Key": {"secret": "pässwörd 😀 <&>"}}
#: Output Key [System.Security.SecureString] 15
#: Output Login
#: Output they are right: False
#: Output [redacted]
function Get-Secure {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)]
        [securestring]$Key,
        [pscredential]$Login
    )
    $plain = [System.Net.NetworkCredential]::new('', $Key).Password
    "Key [$($Key.GetType().FullName)] $($plain.Length)"
    if ($Login) {
        "Login [$($Login.GetType().FullName)] $($Login.UserName) $($Login.GetNetworkCredential().Password.Length)"
    } else {
        'Login'
    }
    "they are right: $($plain -ceq ('correct', 'horse', 'battery' -join ' '))"
    $plain
}

#: declares Name String; Other String
#: call
#: Output Name=[default] Other=[] bound:.
#: call {"Name": ""}
#: Output Name=[] Other=[] bound:Name.
function Get-Defaults {
    [CmdletBinding()]
    param(
        [string]$Name = 'default',
        [string]$Other
    )
    "Name=[$Name] Other=[$Other] bound:$($PSBoundParameters.Keys -join ',')."
}

# In the module's own code a call that cannot be bound is an error record, and the cmdlet goes on.
#: call
#: from param-mandatory-missing param-unknown param-int-from-string-bad param-securestring-from-string
#: Error ~ ^Cannot process command because of one or more missing mandatory parameters: Name
#: Error A parameter cannot be found that matches parameter name 'Nope'.
#: Error ~ ^Cannot process argument transformation on parameter 'Count'. Cannot convert value "five" to type "System.Int32"
#: Error ~ ^Cannot process argument transformation on parameter 'Secret'
#: Output after
function Write-BindingErrors {
    [CmdletBinding()]
    param()
    Invoke-Bound
    Invoke-Bound -Name 'n' -Nope 1
    Invoke-Bound -Name 'n' -Count 'five'
    Invoke-Bound -Name 'n' -Secret 'plain'
    'after'
}

function Invoke-Bound {
    [CmdletBinding()]
    param([Parameter(Mandatory)][string]$Name, [int]$Count, [securestring]$Secret)
    "$Name $Count $Secret"
}
