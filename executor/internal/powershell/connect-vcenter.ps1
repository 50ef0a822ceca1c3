param([string] $Server, [int] $Port, [securestring] $Token)
$null = Set-PowerCLIConfiguration -Scope Session -ParticipateInCEIP $false -DefaultVIServerMode Multiple -Confirm:$false
$session = [System.Net.NetworkCredential]::new('', $Token).Password
$null = Connect-VIServer -Server $Server -Port $Port -Session $session -ErrorAction Stop
