package powershell

import (
	"regexp"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// attributes are those that PowerShell finds without a namespace (TypeAccelerators, about_Functions_Advanced_Parameters),
// in lower case.
var attributes = set(`alias allowemptycollection allowemptystring allownull argumentcompleter argumentcompletions cmdletbinding dscproperty
	dscresource dsclocalconfigurationmanager experimental outputtype parameter psdefaultvalue pstypename supportswildcards obsolete
	validatecount validatedrive validatelength validatenotnull validatenotnullorempty validatenotnullorwhitespace validatepattern
	validaterange validatescript validateset validatetrusteddata validateuserdrive hidden flags serializable`)

// types are those that PowerShell finds without a namespace (about_Type_Accelerators) and the commonest of System, in lower
// case.
var types = set(`adsi adsisearcher array bigint bool boolean byte char cimclass cimconverter ciminstance cimsession cimtype
	cultureinfo datetime datetimeoffset decimal double float guid half hashtable initialsessionstate int int16 int32 int64 ipaddress
	ipendpoint long mailaddress management.automation.pscredential math nullable object ordered physicaladdress powershell psaliasproperty
	pscredential pscustomobject pslistmodifier psmoduleinfo psnoteproperty psobject psprimitivedictionary psscriptmethod
	psscriptproperty pstypenameattribute psvariable psvariableproperty ref regex runspace runspacefactory sbyte scriptblock
	securestring semver short single string switch timespan type uint uint16 uint32 uint64 ulong uri ushort version void wmi wmiclass
	wmisearcher x500distinguishedname x509certificate xml exception attribute console environment convert text.encoding idisposable
	icomparable action func enum consolecolor tuple random eventargs stringcomparer activator appdomain gc io.file io.path
	io.directory io.fileinfo io.directoryinfo net.ipaddress net.networkcredential net.webclient security.securestring
	collections.generic.list collections.generic.dictionary collections.generic.hashset collections.generic.keyvaluepair
	collections.generic.ienumerable collections.generic.queue collections.generic.stack collections.arraylist collections.hashtable
	collections.idictionary collections.specialized.ordereddictionary collections.ienumerable management.automation.switchparameter
	management.automation.psobject management.automation.scriptblock management.automation.errorrecord
	management.automation.ivalidatesetvaluesgenerator`)

// generics are found where their namespace is in use.
var generics = set(`list dictionary hashset ienumerable keyvaluepair queue stack sorteddictionary sortedlist ilist idictionary icollection`)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

var typeNames = regexp.MustCompile(`[\p{L}_][\p{L}\p{N}_.+]*`)

// unknownType is a part of a type's name of which it cannot be told whether PowerShell finds it, "" for none.
func (m *Module) unknownType(f *File, name string) string {
	for _, part := range typeNames.FindAllString(name, -1) {
		short := strings.TrimPrefix(strings.ToLower(part), "system.")
		switch {
		case types[short], m.defines(part):
		case generics[short] && f.using("System.Collections.Generic"):
		case f.using("System.Management.Automation") && types["management.automation."+short]:
		default:
			return part
		}
	}
	return ""
}

// defines says whether the module defines a class or enum of that name.
func (m *Module) defines(name string) bool {
	if m.classNames == nil {
		m.classNames = map[string]bool{}
		for _, f := range m.Files {
			f.Walk(func(n, _ *syntax.Node) bool {
				if n.Kind == syntax.TypeDef {
					m.classNames[strings.ToLower(n.Text)] = true
				}
				return true
			})
		}
	}
	return m.classNames[strings.ToLower(name)]
}

// parameterClasses are the classes of the module, in lower case, that are made of PowerShell's ParameterAttribute or of one
// another.
func (m *Module) parameterClasses() map[string]bool {
	if m.parameters != nil {
		return m.parameters
	}
	m.parameters = map[string]bool{}
	derived := map[string][]string{}
	for _, f := range m.Files {
		f.Walk(func(n, _ *syntax.Node) bool {
			for _, k := range n.Kids {
				if n.Kind == syntax.TypeDef && k.Kind == syntax.Type {
					base := strings.ToLower(k.Text[strings.LastIndexByte(k.Text, '.')+1:])
					derived[base] = append(derived[base], strings.ToLower(n.Text))
				}
			}
			return true
		})
	}
	for next := []string{"parameter", "parameterattribute"}; len(next) > 0; next = next[1:] {
		for _, name := range derived[next[0]] {
			if !m.parameters[name] {
				m.parameters[name] = true
				next = append(next, name)
			}
		}
	}
	return m.parameters
}

// attribute reports one that PowerShell does not find, and types in its arguments that it may not find: the function then
// cannot be called.
func (m *Module) attribute(f *File, a *syntax.Node) {
	short := strings.ToLower(a.Text)
	short = strings.TrimPrefix(short, "system.")
	inAutomation := strings.TrimPrefix(short, "management.automation.")
	switch {
	case m.parameterClasses()[strings.ToLower(a.Text)], m.parameterClasses()[short+"attribute"]:
		m.unknown(f.At(a), "The attribute [%s] is a class of the module that is made of Parameter, and may set Mandatory and the rest. Write [Parameter(…)].", a.Text)
	case attributes[short], inAutomation != short, m.defines(a.Text), m.defines(a.Text + "Attribute"),
		strings.HasPrefix(short, "diagnostics.codeanalysis."), attributes[strings.TrimSuffix(short, "attribute")] && f.using("System.Management.Automation"),
		short == "credential" && f.using("System.Management.Automation"):
	default:
		m.unknown(f.At(a), "PowerShell knows no attribute [%s], so that the function cannot be called, unless a module that is loaded before defines it.", a.Text)
	}
	for _, k := range a.Kids {
		if k.Kind == syntax.Type {
			m.typed(f, k)
		}
	}
}

// typed notes a type that PowerShell may not find.
func (m *Module) typed(f *File, t *syntax.Node) {
	if part := m.unknownType(f, t.Text); part != "" {
		m.find("unchecked", domain.SeverityNote, f.At(t), "Whether PowerShell finds the type %s when the module is loaded cannot be told from the package.", part)
	}
}
