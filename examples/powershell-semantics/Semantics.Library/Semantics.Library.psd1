@{
    RootModule        = 'Semantics.Library.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '17d7391a-28a0-5dc9-8eeb-8f878377ceb9'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'A library of Semantics.Import.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Get-LibraryText'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
