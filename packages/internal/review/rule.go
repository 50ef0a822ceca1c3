package review

import "github.com/airlock-run/airlock/internal/domain"

// Rule is one thing that a review looks for. Ids are kept for ever: approvals name them.
type Rule struct {
	ID       string // its section of docs/rules.md
	Severity domain.Severity
	Title    string // what it finds, in a few words
}

// Rules are all there are, in the order of docs/rules.md.
var Rules = []Rule{
	// What the code does.
	login, childProcess, privilegeElevation, cloudAdminAccount, parameterInjection, secretInStream, computedCall, foreignCode, rolePrivileges,
	// What the cmdlets are.
	syntaxError, unknownDeclaration, unchecked, exportsOpen, cmdletName, cmdletVerb, cmdletBinding, avsAttribute, timeoutLimit, dynamicParameters, parameterSets, parameterType, cmdletHelp, parameterHelp,
	// What the package is.
	packageVersion, interfaceBreak, lifecycleMissing, projectURI, managementMissing, managementOutdated, managementMOB,
}

var (
	login              = Rule{"login", domain.SeverityError, "logs in by itself"}
	childProcess       = Rule{"child-process", domain.SeverityError, "starts another program"}
	privilegeElevation = Rule{"privilege-elevation", domain.SeverityError, "gives CloudAdmins more privileges"}
	cloudAdminAccount  = Rule{"cloudadmin-account", domain.SeverityError, "uses cloudadmin as an account"}
	parameterInjection = Rule{"parameter-injection", domain.SeverityError, "runs a parameter as code"}
	secretInStream     = Rule{"secret-in-stream", domain.SeverityError, "writes a secret to a stream"}
	computedCall       = Rule{"computed-call", domain.SeverityError, "calls what only running it tells"}
	foreignCode        = Rule{"foreign-code", domain.SeverityError, "loads code that the review cannot read"}
	rolePrivileges     = Rule{"role-privileges", domain.SeverityNote, "gives a role privileges"}

	syntaxError        = Rule{"syntax", domain.SeverityError, "does not parse"}
	unknownDeclaration = Rule{"unknown-declaration", domain.SeverityError, "declares what only running it tells"}
	unchecked          = Rule{"unchecked", domain.SeverityNote, "has a place that was not checked"}
	exportsOpen        = Rule{"exports-open", domain.SeverityWarning, "leaves open which functions it exports"}
	cmdletName         = Rule{"cmdlet-name", domain.SeverityError, "has a cmdlet whose name is not Verb-Noun"}
	cmdletVerb         = Rule{"cmdlet-verb", domain.SeverityWarning, "has a cmdlet whose verb is not an approved one"}
	cmdletBinding      = Rule{"cmdlet-binding", domain.SeverityWarning, "has a cmdlet without CmdletBinding"}
	avsAttribute       = Rule{"avs-attribute", domain.SeverityWarning, "has a cmdlet without AVSAttribute"}
	timeoutLimit       = Rule{"timeout-limit", domain.SeverityError, "has a cmdlet with a timeout of more than 60 minutes"}
	dynamicParameters  = Rule{"dynamic-parameters", domain.SeverityError, "has parameters that are there only at times"}
	parameterSets      = Rule{"parameter-sets", domain.SeverityWarning, "has parameters that depend on one another"}
	parameterType      = Rule{"parameter-type", domain.SeverityWarning, "has a parameter of a type that goes as text"}
	cmdletHelp         = Rule{"cmdlet-help", domain.SeverityWarning, "has a cmdlet without help"}
	parameterHelp      = Rule{"parameter-help", domain.SeverityWarning, "has a parameter without help"}

	packageVersion     = Rule{"package-version", domain.SeverityWarning, "has a version that is not a semantic one"}
	interfaceBreak     = Rule{"interface-break", domain.SeverityError, "breaks its users without a new major version"}
	lifecycleMissing   = Rule{"lifecycle-missing", domain.SeverityWarning, "lacks lifecycle cmdlets"}
	projectURI         = Rule{"project-uri", domain.SeverityWarning, "names no web page"}
	managementMissing  = Rule{"management-missing", domain.SeverityWarning, "does not depend on Microsoft.AVS.Management"}
	managementOutdated = Rule{"management-outdated", domain.SeverityWarning, "depends on an old Microsoft.AVS.Management"}
	managementMOB      = Rule{"management-mob", domain.SeverityError, "needs a newer Microsoft.AVS.Management for $MOB_Connection"}
)
