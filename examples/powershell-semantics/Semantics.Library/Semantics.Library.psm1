# A library: Semantics.Import requires it.
function Get-LibraryText {
    [CmdletBinding()]
    param()
    'text of the library'
}
