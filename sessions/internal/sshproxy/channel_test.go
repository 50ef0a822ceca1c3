package sshproxy

import "testing"

func TestAuditKeepsTheProgramOnly(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"uname -a":                          "uname",
		"  /bin/esxcli network ip":          "/bin/esxcli",
		"PASSWORD=secret run":               "(not kept)",
		"'my tool' x":                       "(not kept)",
		"echo\tsecret":                      "(not kept)",
		"echo>secret":                       "(not kept)",
		"":                                  "(not kept)",
		"a;secret":                          "(not kept)",
		string(make([]byte, 100)):           "(not kept)",
		"x" + string(make([]byte, 1)) + "y": "(not kept)",
	} {
		if got := program(command); got != want {
			t.Errorf("program(%q) = %q; want %q", command, got, want)
		}
	}
}
