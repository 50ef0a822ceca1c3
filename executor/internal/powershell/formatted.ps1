begin { $shapes = [System.Collections.Generic.List[object]]::new() }
process {
    if ($null -eq $_) { return , $null }
    $type = $_.GetType()
    if (-not $type.FullName.StartsWith('Microsoft.PowerShell.Commands.Internal.Format.')) { return , $_ }
    $shapes.Add($_)
    if ($type.Name -eq 'FormatEndData') {
        ($shapes | Out-String -Width 200).Trim("`r`n".ToCharArray())
        $shapes.Clear()
    }
}
end { if ($shapes.Count) { ($shapes | Out-String -Width 200).Trim("`r`n".ToCharArray()) } }
