@{
    RootModule        = 'Semantics.Streams.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = 'b40ae77d-2371-50b1-a4aa-d823c5cb76d1'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'What arrives of what cmdlets write.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Write-Streams'
        'Write-Interleaved'
        'Write-VerboseAndDebug'
        'Write-ProgressOnly'
        'Write-InformationObjects'
        'Write-HostObjects'
        'Write-HostNoNewline'
        'Write-Multiline'
        'Write-ErrorToOutput'
        'Write-WarningToOutput'
        'Write-ToNull'
        'Write-ToVariable'
        'Write-Captured'
        'Write-SilencedWarning'
        'Write-SilencedError'
        'Write-Tee'
        'Write-Console'
        'Write-RawOutput'
        'Write-Parallel'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
