@{
    RootModule        = 'Semantics.Room.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '3bf3f31e-70a6-5987-b62d-4edffc5a9f4f'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'Where cmdlets run, and how they are stopped.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Get-OwnFile'
        'Set-OwnFile'
        'Use-Files'
        'Get-ModulePath'
        'Get-Attribute'
        'Use-Classes'
        'Get-Caller'
        'Read-Answers'
        'Remove-Thing'
        'Start-Children'
        'Connect-Elsewhere'
        'Wait-Finally'
        'Wait-Catch'
        'Wait-Thread'
        'Wait-Loop'
        'Wait-ForEvent'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
