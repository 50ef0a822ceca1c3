# Without a host nobody would see what these are given. With -Transcript everything is passed on.
function global:Out-Host {
    param([Parameter(ValueFromPipeline)] $InputObject, [switch] $Paging, [switch] $Transcript)
    begin { $all = [System.Collections.Generic.List[object]]::new() }
    process {
        if ($Transcript) { return , $InputObject }
        $all.Add($InputObject)
    }
    end {
        if ($all.Count) {
            Microsoft.PowerShell.Utility\Write-Host ($all | Microsoft.PowerShell.Utility\Out-String -Width 200).Trim("`r`n".ToCharArray())
        }
    }
}
Set-Alias -Scope Global -Name Out-Default -Value Out-Host
