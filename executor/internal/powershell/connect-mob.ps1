param([string] $Server, [int] $Port, [string] $User, [securestring] $Token)
if (Get-Command -Name Connect-VcenterServerMOB -ErrorAction Ignore) {
    $address = if ($Port -eq 443) { $Server } else { "${Server}:$Port" }
    $global:MOB_Connection = Connect-VcenterServerMOB -Server $address -User $User -Password $Token -ErrorAction Stop
}
