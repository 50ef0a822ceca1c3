param([string] $Server, [int] $Port, [string] $User, [securestring] $Token)
Import-Module -Name VMware.vSphere.SsoAdmin -DisableNameChecking -ErrorAction Stop
$null = Connect-SsoAdminServer -Server $Server -User $User -Password $Token -ErrorAction Stop
