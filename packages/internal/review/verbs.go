package review

import "strings"

// approved are PowerShell's approved verbs in lower case, as Get-Verb of PowerShell 7 lists them by group (the classes
// VerbsCommon to VerbsSecurity of its source; "Approved Verbs for PowerShell Commands", learn.microsoft.com).
var approved = set(`
	add clear close copy enter exit find format get hide join lock move new open optimize pop push redo remove rename reset
	resize search select set show skip split step switch undo unlock watch
	connect disconnect read receive send write
	backup checkpoint compare compress convert convertfrom convertto dismount edit expand export group import initialize
	limit merge mount out publish restore save sync unpublish update
	debug measure ping repair resolve test trace
	approve assert build complete confirm deny deploy disable enable install invoke register request restart resume start
	stop submit suspend uninstall unregister wait
	use
	block grant protect revoke unblock unprotect`)

// set is the set of the words in text.
func set(text string) map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		words[word] = true
	}
	return words
}
