param([string[]] $Names)
foreach ($variable in 'SSH_Sessions', 'SFTP_Sessions') {
    $sessions = [System.Collections.Generic.Dictionary[string, object]]::new([System.StringComparer]::OrdinalIgnoreCase)
    foreach ($name in $Names) {
        $sessions[$name] = [System.Lazy[object]]::new([System.Func[object]] {
                throw 'Airlock makes no SSH and SFTP sessions for PowerShell cmdlets yet; a cmdlet in Go has them.'
            })
    }
    Set-Variable -Scope Global -Name $variable -Value $sessions
}
