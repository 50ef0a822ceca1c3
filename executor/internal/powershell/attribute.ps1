class AVSAttribute : System.Attribute {
    [timespan] $Timeout
    [bool] $UpdatesSDDC = $false
    [bool] $AutomationOnly = $false
    AVSAttribute([int] $timeoutMinutes) { $this.Timeout = [timespan]::FromMinutes($timeoutMinutes) }
}
class AVS : AVSAttribute {
    AVS([int] $timeoutMinutes) : base($timeoutMinutes) { }
}
