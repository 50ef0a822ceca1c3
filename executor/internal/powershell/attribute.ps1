class AVSAttribute : System.Attribute {
    [timespan] $Timeout
    [bool] $UpdatesSDDC = $false
    [bool] $AutomationOnly = $false
    AVSAttribute([int] $timeoutMinutes) { $this.Timeout = [timespan]::new(0, $timeoutMinutes, 0) }
}
class AVS : AVSAttribute {
    AVS([int] $timeoutMinutes) : base($timeoutMinutes) { }
}
