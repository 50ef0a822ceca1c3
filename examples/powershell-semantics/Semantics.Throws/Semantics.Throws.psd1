@{
    RootModule        = 'Semantics.Throws.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '3ede0c3f-a3ac-5b7c-a6d3-24ff144ad983'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'A module that cannot be imported.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Get-Never'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
