// Package domain has the types that all parts of Airlock share: private clouds, packages, executions, records of
// output, and the grant of sessions that an execution holds. They carry no behaviour beyond their own rules and know
// neither HTTP nor SQL.
package domain

import (
	"fmt"
	"regexp"
	"strings"
)

// CloudID names a private cloud. ARM compares ids without case and keeps the case that was stored first: compare
// Key, show String.
type CloudID struct {
	Subscription  string
	ResourceGroup string
	Name          string
}

// String is the ARM resource id.
func (id CloudID) String() string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.AVS/privateClouds/%s",
		id.Subscription, id.ResourceGroup, id.Name)
}

// Key is the id in the form that is compared and stored as a key.
func (id CloudID) Key() string { return strings.ToLower(id.String()) }

var (
	cloudIDForm = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.AVS/privateClouds/([^/]+)$`)
	nameForm    = regexp.MustCompile(`^[-\w._]{1,128}$`)
	groupForm   = regexp.MustCompile(`^[-\w._()]{1,90}$`)
	packageForm = regexp.MustCompile(`^[-\w._@*]{1,256}$`)
)

// ValidName says whether s may name a private cloud, an execution or a cmdlet (Microsoft.AVS: ^[-\w\._]+$).
func ValidName(s string) bool { return nameForm.MatchString(s) && s != "." && s != ".." }

// ValidPackageRef says whether s may stand where a package is named: Name@1.2.3 or Name@1.*.
func ValidPackageRef(s string) bool { return packageForm.MatchString(s) }

// Valid says whether the three parts can be those of an id (resource groups have at most 90 characters, the last of
// them no '.').
func (id CloudID) Valid() bool {
	return ValidName(id.Subscription) && groupForm.MatchString(id.ResourceGroup) && ValidName(id.Name) && !strings.HasSuffix(id.ResourceGroup, ".")
}

// ParseCloudID reads an ARM resource id of a private cloud.
func ParseCloudID(s string) (CloudID, error) {
	m := cloudIDForm.FindStringSubmatch(s)
	if m == nil {
		return CloudID{}, fmt.Errorf("%q is not the resource id of a private cloud", s)
	}
	id := CloudID{m[1], m[2], m[3]}
	if !id.Valid() {
		return CloudID{}, fmt.Errorf("%q has a name that ARM does not allow", s)
	}
	return id, nil
}

// CloudState is a private cloud's provisioningState.
type CloudState string

// The states of a private cloud that matter here. An execution starts only where the state is Succeeded.
const (
	CloudSucceeded CloudState = "Succeeded"
	CloudUpdating  CloudState = "Updating"
)

// PrivateCloud is one vSphere private cloud (SDDC) that executions run against.
type PrivateCloud struct {
	ID           CloudID
	Location     string
	SKU          string
	NetworkBlock string
	ClusterSize  int
	State        CloudState
	UpdatedBy    string // the execution whose mark State is, "" when another set it
	VCenter      string // FQDN of the vCenter, VC_ADDRESS to scripts
	DNSSuffix    string // SddcDnsSuffix
	AadAuthority string
	Egress       Egress      // what scripts reach beside the private cloud
	Dev          bool        // the provider's flag: packages that nobody has reviewed may run there
	Preview      bool        // its subscription has registered the feature ScriptingPreview; not its own to set
	Paused       bool        // its queue takes executions and starts none
	Connection   *Connection // how Airlock reaches it; nil for a simulated one
}
