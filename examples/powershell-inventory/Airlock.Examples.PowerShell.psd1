@{
    RootModule        = 'Airlock.Examples.PowerShell.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '6a1f5e0a-4f0b-4c6e-9f39-2f4d8e5b7c10'
    Author            = 'The Airlock project'
    CompanyName       = 'The Airlock project'
    Description       = 'Looks at a private cloud, and keeps a service account: the example for PowerShell modules.'
    PowerShellVersion = '7.4'

    # Get-Inventory and Set-ServiceAccount need PowerCLI in the package's lock. Import it (docs/package.md, "Libraries"), and
    # name here what the cmdlets use:
    # RequiredModules = @('VMware.VimAutomation.Core', 'VMware.vSphere.SsoAdmin')

    FunctionsToExport = @(
        'Set-ServicePassword'
        'Invoke-Failure'
        'Start-Sleep'
        'Get-Inventory'
        'Set-ServiceAccount'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()

    PrivateData       = @{
        PSData = @{
            ProjectUri = 'https://github.com/airlock-run/airlock'
            Tags       = @('Airlock', 'AVS', 'example')
        }
    }
}
