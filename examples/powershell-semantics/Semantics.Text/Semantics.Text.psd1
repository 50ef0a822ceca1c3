@{
    RootModule        = 'Semantics.Text.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '9f751ac5-2739-50fb-b3e3-65e26d3c5f66'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'What objects become as text.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Get-Strings'
        'Get-Escapes'
        'Get-Whole'
        'Get-Fractions'
        'Get-Values'
        'Get-Times'
        'Get-NullBetween'
        'Get-Nothing'
        'Get-Arrays'
        'Get-Bytes'
        'Get-Tables'
        'Get-TableOfValues'
        'Get-Objects'
        'Get-Cycle'
        'Get-ClassInstance'
        'Get-Errors'
        'Get-Json'
        'Get-Table'
        'Get-List'
        'Get-OutString'
        'Get-OutHost'
        'Get-Secrets'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
