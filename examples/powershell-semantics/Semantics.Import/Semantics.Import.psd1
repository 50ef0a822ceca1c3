@{
    RootModule        = 'Semantics.Import.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = 'b58b895d-e14e-57cf-bd6b-41eaecd6ec8c'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'What happens at an import.'
    PowerShellVersion = '7.4'
    RequiredModules   = @('Semantics.Library')
    FunctionsToExport = @(
        'Get-AtImport'
        'Get-FromLibrary'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
