# A module that cannot be imported. The lines of "#:" are explained in ../README.md.
Write-Warning 'warn at import'
if ($VC_ADDRESS) { throw 'import failed' }

#: call
#: from import-throws-stop
#: Warning warn at import
#: ends Failed
#: says import failed
function Get-Never {
    [CmdletBinding()]
    param()
    'never'
}
