param([string[]] $Names)
# PowerShell swallows what a property throws: Value is $null then, and only the warning says why, each time.
$make = [System.Func[object]] {
    $why = 'Airlock makes no SSH and SFTP sessions for PowerShell cmdlets yet: this one is $null. A cmdlet in Go has them.'
    Microsoft.PowerShell.Utility\Write-Warning $why
    throw $why
}
foreach ($variable in 'SSH_Sessions', 'SFTP_Sessions') {
    $sessions = [System.Collections.Generic.Dictionary[string, object]]::new([System.StringComparer]::OrdinalIgnoreCase)
    foreach ($name in $Names) {
        $sessions[$name] = [System.Lazy[object]]::new($make, [System.Threading.LazyThreadSafetyMode]::PublicationOnly)
    }
    Set-Variable -Scope Global -Name $variable -Value $sessions
}
