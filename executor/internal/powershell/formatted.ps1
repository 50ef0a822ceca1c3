begin { $shapes = [System.Collections.Generic.List[object]]::new() }
process {
    $value = $_
    if ($null -eq $value) { return , $value }
    try { $type = [string] $value.GetType().FullName } catch { $type = '' }
    if (-not $type.StartsWith('Microsoft.PowerShell.Commands.Internal.Format.')) { return , $value }
    $shapes.Add($value)
    if ($type.EndsWith('.FormatEndData')) {
        ($shapes | Out-String -Width 200).Trim("`r`n".ToCharArray())
        $shapes.Clear()
    }
}
end { if ($shapes.Count) { ($shapes | Out-String -Width 200).Trim("`r`n".ToCharArray()) } }
