package server

import (
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/iso8601"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// What api-versions brought.
const (
	withCompany    = "2022-05-01" // a package's company and uri
	withSystemData = "2023-09-01" // systemData, a cmdlet's audience, provisioningState of packages and cmdlets
)

// resource is ARM's envelope. Properties come last: getExecutionLogs goes on writing in them.
type resource[P any] struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Type       string      `json:"type"`
	SystemData *systemData `json:"systemData,omitempty"`
	Properties P           `json:"properties"`
}

type systemData struct {
	CreatedAt      time.Time `json:"createdAt"`
	LastModifiedAt time.Time `json:"lastModifiedAt"`
}

func (r *request) systemData(created, modified time.Time) *systemData {
	if !r.since(withSystemData) {
		return nil
	}
	return &systemData{created.UTC(), modified.UTC()}
}

type privateCloud struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Location   string          `json:"location"`
	SKU        sku             `json:"sku"`
	Properties cloudProperties `json:"properties"`
}

type sku struct {
	Name string `json:"name"`
}

type cloudProperties struct {
	NetworkBlock      string            `json:"networkBlock"`
	ManagementCluster cluster           `json:"managementCluster"`
	Endpoints         endpoints         `json:"endpoints"`
	ProvisioningState domain.CloudState `json:"provisioningState"`

	Airlock *airlockProperties `json:"airlock,omitempty"` // ours, for whoever may change it
}

type cluster struct {
	ClusterSize int `json:"clusterSize"`
}

type endpoints struct {
	VCSA string `json:"vcsa"`
}

// cloudResource shows our own fields to who may change them: they name files and variables of the server.
func (r *request) cloudResource(c domain.PrivateCloud) privateCloud {
	out := privateCloud{
		ID: c.ID.String(), Name: c.ID.Name, Type: actCloud, Location: c.Location, SKU: sku{c.SKU},
		Properties: cloudProperties{
			NetworkBlock: c.NetworkBlock, ManagementCluster: cluster{c.ClusterSize}, Endpoints: endpoints{"https://" + c.VCenter + "/"},
			ProvisioningState: c.State,
		},
	}
	if r.may(actCloud+"/write", c.ID.Scope()) {
		out.Properties.Airlock = airlockOf(c)
	}
	return out
}

type packageProperties struct {
	Description       string `json:"description"`
	Version           string `json:"version"`
	Company           string `json:"company,omitempty"`
	URI               string `json:"uri,omitempty"`
	ProvisioningState string `json:"provisioningState,omitempty"`
}

func (r *request) packageResource(cloud domain.CloudID, p domain.Package) resource[packageProperties] {
	out := resource[packageProperties]{
		ID: packageID(cloud, p.Ref()), Name: p.Ref(), Type: actPackage, SystemData: r.systemData(p.Pushed, p.Pushed),
		Properties: packageProperties{Description: p.Manifest.Description, Version: p.Version},
	}
	if r.since(withCompany) {
		out.Properties.Company, out.Properties.URI = p.Manifest.Company, p.Manifest.ProjectURI
	}
	if r.since(withSystemData) {
		out.Properties.ProvisioningState = "Succeeded"
	}
	return out
}

type cmdletProperties struct {
	Description       string                `json:"description"`
	Timeout           string                `json:"timeout"`
	Audience          string                `json:"audience,omitempty"`
	ProvisioningState string                `json:"provisioningState,omitempty"`
	Parameters        []declaredByParameter `json:"parameters"`
}

type declaredByParameter struct {
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Type        manifest.Type `json:"type"`
	Visibility  string        `json:"visibility"`
	Optional    string        `json:"optional"`
}

func (r *request) cmdletResource(cloud domain.CloudID, p domain.Package, c manifest.Cmdlet) resource[cmdletProperties] {
	properties := cmdletProperties{Description: c.Description, Timeout: iso8601.Format(c.Timeout()), Parameters: []declaredByParameter{}}
	if r.since(withSystemData) {
		properties.ProvisioningState, properties.Audience = "Succeeded", "Any"
		if c.AutomationOnly {
			properties.Audience = "Automation"
		}
	}
	for _, d := range c.Parameters {
		parameter := declaredByParameter{d.Name, strings.TrimSpace(d.Description + " " + d.Note), d.Type, "Visible", "Optional"}
		if d.Type.Secret() {
			parameter.Visibility = "Hidden"
		}
		if d.Required {
			parameter.Optional = "Required"
		}
		properties.Parameters = append(properties.Parameters, parameter)
	}
	return resource[cmdletProperties]{
		ID: cmdletID(cloud, p.Ref(), c.Name), Name: c.Name, Type: actPackage + "/scriptCmdlets",
		SystemData: r.systemData(p.Pushed, p.Pushed), Properties: properties,
	}
}

func packageID(cloud domain.CloudID, ref string) string {
	return cloud.String() + "/scriptPackages/" + ref
}

func cmdletID(cloud domain.CloudID, ref, cmdlet string) string {
	return packageID(cloud, ref) + "/scriptCmdlets/" + cmdlet
}

func executionID(cloud domain.CloudID, name string) string {
	return cloud.String() + "/scriptExecutions/" + name
}

// executionProperties are ARM's, and from statusMessage to resolvedCmdletId our own. hiddenParameters are never there.
type executionProperties struct {
	ScriptCmdletID    string            `json:"scriptCmdletId"`
	Parameters        []argument        `json:"parameters"`
	Timeout           string            `json:"timeout"`
	Retention         string            `json:"retention"`
	ProvisioningState domain.State      `json:"provisioningState"`
	SubmittedAt       time.Time         `json:"submittedAt"`
	StartedAt         time.Time         `json:"startedAt,omitzero"`
	FinishedAt        time.Time         `json:"finishedAt,omitzero"`
	FailureReason     string            `json:"failureReason,omitempty"`
	NamedOutputs      map[string]string `json:"namedOutputs,omitempty"`

	StatusMessage    string      `json:"statusMessage,omitempty"` // what it waits for
	Warning          string      `json:"warning,omitempty"`       // a remark of Airlock's own; the stream is warnings
	FailureCode      errors.Code `json:"failureCode,omitempty"`
	ResolvedCmdletID string      `json:"resolvedCmdletId"` // with the version that runs, where scriptCmdletId has a pattern

	streams
}

// streams are nil where they are not to be shown, and empty where there is nothing in them.
type streams struct {
	Output      []string `json:"output,omitzero"`
	Information []string `json:"information,omitzero"`
	Warnings    []string `json:"warnings,omitzero"`
	Errors      []string `json:"errors,omitzero"`
}

func (s *streams) of(stream domain.Stream) *[]string {
	return map[domain.Stream]*[]string{
		domain.Output: &s.Output, domain.Information: &s.Information, domain.Warning: &s.Warnings, domain.Error: &s.Errors,
	}[stream]
}

// property is the name of the array that has the stream.
func property(stream domain.Stream) string {
	return map[domain.Stream]string{
		domain.Output: "output", domain.Information: "information", domain.Warning: "warnings", domain.Error: "errors",
	}[stream]
}

// argument echoes a parameter. What a secure one holds is not here to be echoed.
type argument struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Value *string `json:"value,omitempty"`
}

// executionResource is an execution without its streams and what it waits for.
func (r *request) executionResource(x domain.Execution) resource[executionProperties] {
	p := executionProperties{
		ScriptCmdletID: x.CmdletID, Parameters: []argument{}, Timeout: iso8601.Format(x.Timeout), Retention: iso8601.Format(x.Retention),
		ProvisioningState: x.State, SubmittedAt: x.Submitted.UTC(), StartedAt: x.Started.UTC(), FinishedAt: x.Finished.UTC(),
		NamedOutputs: x.NamedOutputs, Warning: x.Warning,
		ResolvedCmdletID: cmdletID(x.Cloud, x.Package.Name+"@"+x.Package.Version, x.Cmdlet),
	}
	for _, given := range x.Parameters {
		echo := argument{Name: given.Name, Type: discriminator(given.Type)}
		if !given.Secure {
			echo.Value = &given.Value
		}
		p.Parameters = append(p.Parameters, echo)
	}
	if x.Failure != nil {
		p.FailureCode, p.FailureReason = x.Failure.Code, x.Failure.Message
	}
	modified := x.Submitted
	for _, t := range []time.Time{x.Started, x.Finished} {
		if t.After(modified) {
			modified = t
		}
	}
	return resource[executionProperties]{
		ID: executionID(x.Cloud, x.Name), Name: x.Name, Type: actExecution,
		SystemData: r.systemData(x.Submitted, modified), Properties: p,
	}
}
