param([string] $Server, [int] $Port, [string] $User, [securestring] $Token)
Import-Module -Name VMware.VimAutomation.Core -DisableNameChecking -ErrorAction Stop
$null = Set-PowerCLIConfiguration -Scope Session -ParticipateInCEIP $false -DefaultVIServerMode Multiple -Confirm:$false
$session = [System.Net.NetworkCredential]::new('', $Token).Password
$null = Connect-VIServer -Server $Server -Port $Port -Session $session -ErrorAction Stop
