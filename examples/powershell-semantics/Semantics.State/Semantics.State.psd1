@{
    RootModule        = 'Semantics.State.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = 'bd36b5d0-a4a9-576b-b151-e5278212b459'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'Global variables, named outputs and persistent secrets.'
    PowerShellVersion = '7.4'
    FunctionsToExport = @(
        'Get-Globals'
        'Get-Sessions'
        'Open-Session'
        'Get-Preferences'
        'Set-OutputsByIndex'
        'Set-OutputsByMember'
        'Set-OutputsAnew'
        'Set-OutputsByVariable'
        'Set-OutputsLocally'
        'Set-OutputsOfTypes'
        'Set-ThenThrow'
        'Set-ThenExit'
        'Set-LargeOutput'
        'Set-Secrets'
        'Remove-Secrets'
        'Remove-SecretKey'
        'Set-SecureSecret'
        'Set-SecretOfBadName'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
    PrivateData       = @{ PSData = @{ ProjectUri = 'https://github.com/airlock-run/airlock' } }
}
