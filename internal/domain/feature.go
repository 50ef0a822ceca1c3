package domain

// FeatureState says whether a subscription takes part in a feature, as ARM's Microsoft.Features has it.
type FeatureState string

// The states of a feature.
const (
	NotRegistered FeatureState = "NotRegistered" // never was
	Registered    FeatureState = "Registered"
	Unregistered  FeatureState = "Unregistered" // not any more
)

// ScriptingPreview is the feature of Microsoft.AVS that opens the preview ring to a subscription's private clouds.
const ScriptingPreview = "scriptingPreview"
