package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// flags brings the flags of update into a document, as JSON, and returns it as JSON.
func flags(t *testing.T, doc string, inventoryHosts []string, args ...string) (string, error) {
	t.Helper()
	d := document{}
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{}
	r := newRegistration(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if _, err := r.apply(d); err != nil {
		return "", err
	}
	if r.ssh.fromInventory(d) != (inventoryHosts != nil) {
		t.Errorf("%v: the hosts are those of the inventory: %v", args, inventoryHosts == nil)
	}
	if inventoryHosts != nil {
		r.ssh.hosts = inventoryHosts
	}
	if _, err := r.ssh.apply(d); err != nil {
		return "", err
	}
	out, err := json.Marshal(d)
	return string(out), err
}

func TestRegistrationFlags(t *testing.T) {
	t.Parallel()
	const two = `{"properties":{"airlock":{"connection":{"hosts":[
		{"name":"esx1.a.example","user":"root","password":{"file":"/one"},"hostKey":"k"},{"name":"esx2.b.example","user":"root","key":{"secret":"two"}}]}}}}`
	for name, c := range map[string]struct {
		doc       string
		args      []string
		inventory []string
		want      string // a part of the document, or of the error
	}{
		"nothing": {`{"properties":{"airlock":{}}}`, nil, nil, `{"properties":{"airlock":{}}}`},
		"plain": {`{}`, []string{"--sku", "av64", "--cluster-size", "4", "--dev", "--egress", "internet"}, nil,
			`{"properties":{"airlock":{"dev":true,"egress":"internet"},"managementCluster":{"clusterSize":4}},"sku":{"name":"av64"}}`},
		"not dev":             {`{"properties":{"airlock":{"dev":true}}}`, []string{"--dev=false"}, nil, `"dev":false`},
		"resume":              {`{"properties":{"airlock":{"paused":true}}}`, []string{"--resume"}, nil, `"paused":false`},
		"thumbprint for a CA": {`{"properties":{"airlock":{"connection":{"ca":"x"}}}}`, []string{"--thumbprint", "ab"}, nil, `"connection":{"thumbprint":"ab"}`},
		"another password":    {`{"properties":{"airlock":{"connection":{"password":{"file":"/x"}}}}}`, []string{"--password-env", "PW"}, nil, `"password":{"environment":"PW"}`},

		"of the inventory": {`{}`, []string{"--ssh-password-file", "/pw"}, []string{"esx1.example"},
			`"hosts":[{"name":"esx1.example","password":{"file":"/pw"},"user":"root"}]`},
		"inventory by name": {two, []string{"--host", "inventory", "--ssh-user", "svc"}, []string{"ESX1.a.example"},
			`"hosts":[{"hostKey":"k","name":"esx1.a.example","password":{"file":"/one"},"user":"svc"}]`},
		"first pattern": {`{}`, []string{"--host", "esx1.a.example=10.0.0.1:22", "--host", "VC", "--ssh-password-file", "*.a.example=/a=b", "--ssh-key-secret", "vc"}, nil,
			`"hosts":[{"address":"10.0.0.1:22","name":"esx1.a.example","password":{"file":"/a=b"},"user":"root"},{"key":{"secret":"vc"},"name":"VC","user":"root"}]`},
		"of those that are there": {two, []string{"--ssh-key-file", "*.a.*=/key"}, nil,
			`"hosts":[{"hostKey":"k","key":{"file":"/key"},"name":"esx1.a.example","user":"root"},{"key":{"secret":"two"},"name":"esx2.b.example","user":"root"}]`},
		"host key":         {two, []string{"--host-key", "ESX2.b.example=ssh-ed25519 AAAA"}, nil, `"hostKey":"ssh-ed25519 AAAA"`},
		"host key forgot":  {two, []string{"--host-key", "esx1.a.example="}, nil, `"hostKey":""`},
		"host key of whom": {two, []string{"--host-key", "esx9.example=k"}, nil, `not "esx9.example=k"`},
		"no login":         {two, []string{"--host", "esx9.example", "--ssh-key-file", "esx1*=/k"}, nil, "no SSH login for the host esx9.example"},
		"no pattern":       {two, []string{"--ssh-key-file", "esx[=/k"}, nil, `"esx[" is no pattern`},
		"no such CA":       {`{}`, []string{"--ca-file", "/none"}, nil, "--ca-file cannot be read"},
	} {
		got, err := flags(t, c.doc, c.inventory, c.args...)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s; want %s", name, got, c.want)
		}
	}
}
