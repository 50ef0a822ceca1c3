@{
    RootModule        = 'Torture.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '7f0f3a52-6b1e-4c53-9d0b-6d0b5f0a9e11'
    Author            = 'Airlock'
    Description       = 'The cmdlets with which the suite runtimetest tries a runtime.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Write-All', 'Write-Start', 'Write-Plain', 'Write-Lines', 'Write-Flood', 'Set-Secrets', 'Stop-Failing', 'Stop-Hard', 'Stop-Killed',
        'Wait-Cancel', 'Wait-Forever', 'Start-Children'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
}
