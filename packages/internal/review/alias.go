package review

import "strings"

// builtin are the aliases that PowerShell 7 has from the start on Linux, as Get-Alias lists them, in lower case.
var builtin = pairs(strings.ToLower(`
	%=ForEach-Object ?=Where-Object cd=Set-Location chdir=Set-Location clc=Clear-Content clhy=Clear-History
	cli=Clear-Item clp=Clear-ItemProperty cls=Clear-Host clv=Clear-Variable copy=Copy-Item cpi=Copy-Item
	cvpa=Convert-Path dbp=Disable-PSBreakpoint del=Remove-Item dir=Get-ChildItem ebp=Enable-PSBreakpoint
	echo=Write-Output epal=Export-Alias epcsv=Export-Csv erase=Remove-Item etsn=Enter-PSSession exsn=Exit-PSSession
	fc=Format-Custom fl=Format-List foreach=ForEach-Object ft=Format-Table fw=Format-Wide gal=Get-Alias
	gbp=Get-PSBreakpoint gc=Get-Content gci=Get-ChildItem gcm=Get-Command gcs=Get-PSCallStack gdr=Get-PSDrive
	gerr=Get-Error ghy=Get-History gi=Get-Item gjb=Get-Job gl=Get-Location gm=Get-Member gmo=Get-Module
	gp=Get-ItemProperty gps=Get-Process gpv=Get-ItemPropertyValue group=Group-Object gsn=Get-PSSession gu=Get-Unique
	gv=Get-Variable h=Get-History history=Get-History icm=Invoke-Command iex=Invoke-Expression ihy=Invoke-History
	ii=Invoke-Item ipal=Import-Alias ipcsv=Import-Csv ipmo=Import-Module irm=Invoke-RestMethod iwr=Invoke-WebRequest
	md=mkdir measure=Measure-Object mi=Move-Item move=Move-Item mp=Move-ItemProperty nal=New-Alias ndr=New-PSDrive
	ni=New-Item nmo=New-Module nsn=New-PSSession nv=New-Variable oh=Out-Host popd=Pop-Location pushd=Push-Location
	pwd=Get-Location r=Invoke-History rbp=Remove-PSBreakpoint rcjb=Receive-Job rcsn=Receive-PSSession rd=Remove-Item
	rdr=Remove-PSDrive ren=Rename-Item ri=Remove-Item rjb=Remove-Job rmo=Remove-Module rni=Rename-Item
	rnp=Rename-ItemProperty rp=Remove-ItemProperty rsn=Remove-PSSession rv=Remove-Variable rvpa=Resolve-Path
	sajb=Start-Job sal=Set-Alias saps=Start-Process sbp=Set-PSBreakpoint select=Select-Object set=Set-Variable
	si=Set-Item sl=Set-Location sls=Select-String sp=Set-ItemProperty spjb=Stop-Job spps=Stop-Process sv=Set-Variable
	type=Get-Content where=Where-Object wjb=Wait-Job`))

// windowsOnly are those that it has on Windows beside these. Where executions run, such a name is that of a program.
var windowsOnly = pairs(`
	ac=Add-Content cat=Get-Content clear=Clear-Host cnsn=Connect-PSSession compare=Compare-Object cp=Copy-Item
	cpp=Copy-ItemProperty diff=Compare-Object dnsn=Disconnect-PSSession gsv=Get-Service kill=Stop-Process
	ls=Get-ChildItem man=help mount=New-PSDrive mv=Move-Item ogv=Out-GridView ps=Get-Process rm=Remove-Item
	rmdir=Remove-Item sasv=Start-Service shcm=Show-Command sleep=Start-Sleep sort=Sort-Object spsv=Stop-Service
	start=Start-Process tee=Tee-Object write=Write-Output`)

// pairs are the words name=value in text.
func pairs(text string) map[string]string {
	all := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(pair, "=")
		all[name] = value
	}
	return all
}
