@{
    RootModule        = 'Semantics.Parameters.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '56a11924-1583-524a-a2d5-fdb78a6f9a6d'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'How arguments reach cmdlets.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Get-Bound'
        'Get-Text'
        'Get-Converted'
        'Get-Validated'
        'Get-Secure'
        'Get-Defaults'
        'Write-BindingErrors'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
