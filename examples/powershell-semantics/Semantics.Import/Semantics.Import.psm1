# A module whose body runs at import: it reads the global variables, writes to the streams, and requires a library, which
# is in the package's lock. The lines of "#:" are explained in ../README.md.
$script:AddressAtImport = $VC_ADDRESS
'what an import puts out is not shown'
Write-Warning 'warn at import'
Write-Error 'err at import'
Write-Host 'host at import'
Write-Information 'info at import'

#: call
#: from import-writes-stop
#: Warning warn at import
#: Error err at import
#: Information host at import
#: Information info at import
#: Output True
function Get-AtImport {
    [CmdletBinding()]
    param()
    $script:AddressAtImport -eq $VC_ADDRESS -and $VC_ADDRESS -ne ''
}

#: call
#: Warning warn at import
#: Error err at import
#: Information host at import
#: Information info at import
#: Output text of the library
#: Output Semantics.Library
function Get-FromLibrary {
    [CmdletBinding()]
    param()
    Get-LibraryText
    (Get-Module -Name Semantics.Library).Name
}
