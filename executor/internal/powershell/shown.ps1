# Without a host nobody would see what these are given.
function global:Out-Host {
    param([Parameter(ValueFromPipeline)] $InputObject, [switch] $Paging)
    begin { $all = [System.Collections.Generic.List[object]]::new() }
    process { $all.Add($InputObject) }
    end {
        if ($all.Count) { Microsoft.PowerShell.Utility\Write-Host ($all | Microsoft.PowerShell.Utility\Out-String -Width 200).Trim("`r`n".ToCharArray()) }
    }
}
function global:Out-Default {
    param([Parameter(ValueFromPipeline)] $InputObject, [switch] $Transcript)
    begin { $all = [System.Collections.Generic.List[object]]::new() }
    process { $all.Add($InputObject) }
    end {
        if ($all.Count) { Microsoft.PowerShell.Utility\Write-Host ($all | Microsoft.PowerShell.Utility\Out-String -Width 200).Trim("`r`n".ToCharArray()) }
    }
}
