# What a cmdlet finds in its global variables, and what is kept of them. The lines of "#:" are explained in ../README.md.

#: call
#: Output ~ ^VC_ADDRESS \[System\.String\] vc\.sddc[0-9]+\.airlock\.test$
#: Output ~ ^SddcDnsSuffix \[System\.String\] sddc[0-9]+\.airlock\.test$
#: Output ~ ^SddcResourceId \[System\.String\] /subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.AVS/privateClouds/sddc[0-9]+$
#: Output ~ ^AadAuthority \[System\.String\]
function Get-Globals {
    [CmdletBinding()]
    param()
    foreach ($name in 'VC_ADDRESS', 'SddcDnsSuffix', 'SddcResourceId', 'AadAuthority') {
        $value = Get-Variable -Name $name -Scope Global -ValueOnly
        "$name [$($value.GetType().FullName)] $value"
    }
}

#: call
#: Output MOB_Connection is null: True
#: Output SSH_Sessions: True True True
#: Output SFTP_Sessions: True True True
function Get-Sessions {
    [CmdletBinding()]
    param()
    "MOB_Connection is null: $($null -eq $global:MOB_Connection)"
    foreach ($name in 'SSH_Sessions', 'SFTP_Sessions') {
        $sessions = Get-Variable -Name $name -Scope Global -ValueOnly
        $ofHosts = @($sessions.Keys | Where-Object { $_ -like 'esx??.*.airlock.test' })
        "${name}: $($sessions -is [System.Collections.IDictionary]) $($sessions.Keys -contains 'VC') $($ofHosts.Count -gt 0)"
    }
}

# What the sessions will be made with is not there yet, and PowerShell swallows what a property throws.
#: call
#: Warning ~ ^Airlock makes no SSH and SFTP sessions
#: Output is null: True
#: Warning ~ ^Airlock makes no SSH and SFTP sessions
#: Output is null: True
function Open-Session {
    [CmdletBinding()]
    param()
    foreach ($attempt in 1..2) {
        $session = $global:SSH_Sessions['VC'].Value
        "is null: $($null -eq $session)"
    }
}

# A preference variable that is not PowerShell's own: nobody could confirm.
#: call
#: from cmd-prefs
#: Output ConfirmPreference None
#: Output ErrorActionPreference Continue
#: Output WarningPreference Continue
#: Output InformationPreference SilentlyContinue
#: Output VerbosePreference SilentlyContinue
function Get-Preferences {
    [CmdletBinding()]
    param()
    foreach ($name in 'ConfirmPreference', 'ErrorActionPreference', 'WarningPreference', 'InformationPreference', 'VerbosePreference') {
        "$name $(Get-Variable -Name $name -Scope Global -ValueOnly)"
    }
}

#: call
#: from state-index
#: named A = 1
#: named B = two
function Set-OutputsByIndex {
    [CmdletBinding()]
    param()
    $NamedOutputs['A'] = 1
    $global:NamedOutputs['B'] = 'two'
}

#: call
#: from state-add state-member
#: named A = 1
#: named B = two
#: named C = three
function Set-OutputsByMember {
    [CmdletBinding()]
    param()
    $NamedOutputs.Add('A', 1)
    $NamedOutputs.B = 'two'
    $global:NamedOutputs += @{ C = 'three' }
}

#: call
#: from state-replace
#: named Z = 1
#: named A = 2
function Set-OutputsAnew {
    [CmdletBinding()]
    param()
    $global:NamedOutputs = [ordered]@{ Z = 1; A = 2 }
}

#: call
#: from state-setvar
#: named A = 1
function Set-OutputsByVariable {
    [CmdletBinding()]
    param()
    Set-Variable -Scope Global -Name NamedOutputs -Value @{ A = 1 }
}

# An assignment without global: makes a variable of the function, which is lost with it.
#: call
#: from state-unscoped
#: Output set
function Set-OutputsLocally {
    [CmdletBinding()]
    param()
    $NamedOutputs = @{ A = 1 }
    "set$($NamedOutputs.Nothing)"
}

#: call
#: named bool = True
#: named double = 1.5
#: named empty = ""
#: named nothing = ""
#: named table = {"x":{"y":1}}
#: named list = [1,"two"]
#: named object = {"N":5}
#: named 7 = seven
function Set-OutputsOfTypes {
    [CmdletBinding()]
    param()
    $NamedOutputs['bool'] = $true
    $NamedOutputs['double'] = 1.5
    $NamedOutputs['empty'] = ''
    $NamedOutputs['nothing'] = $null
    $NamedOutputs['table'] = @{ x = @{ y = 1 } }
    $NamedOutputs['list'] = @(1, 'two')
    $NamedOutputs['object'] = [pscustomobject]@{ N = 5 }
    $NamedOutputs[7] = 'seven'
}

#: call
#: from state-index-then-throw
#: ends Failed
#: says failed after it
#: gone lost-4
function Set-ThenThrow {
    [CmdletBinding()]
    param()
    $NamedOutputs['A'] = 1
    $PersistentSecrets['lost-4'] = 'never to be kept'
    throw 'failed after it'
}

#: call
#: from state-index-then-exit
#: ends Failed
#: gone lost-5
function Set-ThenExit {
    [CmdletBinding()]
    param()
    $NamedOutputs['A'] = 1
    $PersistentSecrets['lost-5'] = 'never to be kept'
    exit 4
}

#: call
#: ends Failed NamedOutputsTooLarge
function Set-LargeOutput {
    [CmdletBinding()]
    param()
    $NamedOutputs['large'] = 'x' * 40000
}

#: call
#: had there-1 = was there before
#: from state-index
#: Output Hashtable True [redacted]
#: kept there-1 = was there before
#: kept new-1 = is new from now on
#: kept new-2 = is new as well
#: kept new-3 = 4711
function Set-Secrets {
    [CmdletBinding()]
    param()
    "$($PersistentSecrets.GetType().Name) $($PersistentSecrets.ContainsKey('THERE-1')) $($PersistentSecrets['there-1'])"
    $PersistentSecrets['new-1'] = 'is new from now on'
    $global:PersistentSecrets.Add('new-2', 'is new as well')
    $PersistentSecrets['new-3'] = 4711
}

#: call
#: had there-2 = will be deleted
#: had there-3 = will be deleted too
#: had there-4 = will stay as it was
#: gone there-2
#: gone there-3
#: kept there-4 = will stay as it was
function Remove-Secrets {
    [CmdletBinding()]
    param()
    $PersistentSecrets['there-2'] = ''
    $PersistentSecrets['there-3'] = $null
}

# A key that is taken out leaves the secret as it was: '' or $null deletes one.
#: call
#: had there-5 = will stay though its key is gone
#: Warning ~ there-5
#: kept there-5 = will stay though its key is gone
function Remove-SecretKey {
    [CmdletBinding()]
    param()
    $PersistentSecrets.Remove('there-5')
}

#: declares Value SecureString required
#: call {"Value": {"secret": "a secret of the caller"}}
#: Output done
#: named closed = System.Security.SecureString
#: kept secure-1 = a secret of the caller
function Set-SecureSecret {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)]
        [securestring]$Value
    )
    $PersistentSecrets['secure-1'] = $Value
    $NamedOutputs['closed'] = $Value
    'done'
}

#: call
#: ends Failed SecretNameInvalid
function Set-SecretOfBadName {
    [CmdletBinding()]
    param()
    $PersistentSecrets['not a name'] = 'whatever it is'
}
