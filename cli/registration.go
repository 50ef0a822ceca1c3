package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/airlock-run/airlock/internal/errors"
)

// document is the body of a private cloud: what the server sent, a file has or flags say. It is kept as it is, so that
// the server sees each field, and says which it does not know.
type document map[string]any

// below is the object under a name, made where there is none.
func (d document) below(name string) document {
	if under, ok := d[name].(map[string]any); ok {
		return under
	}
	under := map[string]any{}
	d[name] = under
	return under
}

func (d document) own() document        { return d.below("properties").below("airlock") }
func (d document) connection() document { return d.own().below("connection") }

// registration are the flags of add and update.
type registration struct {
	flags *pflag.FlagSet
	file  string
	ssh   sshFlags
}

// plain are the flags that stand for one field each.
var plain = []struct {
	flag, use string
	connects  bool // it changes how the private cloud is reached, which is tested then
	at        func(document) document
	field     string
}{
	{"vcenter", "name of the vCenter, as in its certificate", true, document.connection, "vcenter"},
	{"address", "host:port to dial for the vCenter (default: its name and 443)", true, document.connection, "address"},
	{"thumbprint", "SHA-256 thumbprint of the vCenter's certificate, in place of an authority", true, document.connection, "thumbprint"},
	{"user", "user of the vCenter, with the SSO domain", true, document.connection, "user"},
	{"egress", "what scripts reach beside it: none, internet, or a list of host:port", false, document.own, "egress"},
	{"dns-suffix", "its domain (default: that of the vCenter's name)", false, document.own, "dnsSuffix"},
	{"aad-authority", "authority of its identities, as scripts are told it", false, document.own, "aadAuthority"},
	{"state", "Updating or Succeeded; while it is Updating, executions that are claimed fail", false, document.own, "state"},
	{"location", "where it is (default: global)", false, func(d document) document { return d }, "location"},
	{"sku", "kind of its hosts (default: custom)", false, func(d document) document { return d.below("sku") }, "name"},
	{"network-block", "its management network, such as 10.0.0.0/22", false, func(d document) document { return d.below("properties") }, "networkBlock"},
}

// kinds are the places of a credential: the end of a flag and the field.
var kinds = []struct{ flag, field, use string }{
	{"file", "file", "file of the server"}, {"env", "environment", "variable of the server"}, {"secret", "secret", "secret set by set-secret"},
}

func newRegistration(cmd *cobra.Command) *registration {
	f := cmd.Flags()
	r := &registration{flags: f}
	f.StringVar(&r.file, "file", "", "YAML or JSON file with the whole registration, as `show --output json` prints it")
	for _, p := range plain {
		f.String(p.flag, "", p.use)
	}
	for _, k := range kinds {
		f.String("password-"+k.flag, "", "where the user's password is: "+k.use)
	}
	f.String("ca-file", "", "PEM file, of this machine, of the authority that signed the vCenter's certificate")
	f.Int("cluster-size", 0, "how many hosts it has")
	f.Bool("dev", false, "packages that nobody has reviewed may run there")
	f.Bool("pause", false, "start no executions; they are taken and wait")
	f.Bool("resume", false, "start executions again")
	r.ssh.add(f)
	cmd.MarkFlagsMutuallyExclusive("pause", "resume")
	cmd.MarkFlagsMutuallyExclusive("ca-file", "thumbprint")
	cmd.MarkFlagsMutuallyExclusive("password-file", "password-env", "password-secret")
	return r
}

// apply brings the flags that were given into a document, and says whether they change how it is reached.
func (r *registration) apply(d document) (connects bool, err error) {
	text := func(flag string) string { return r.flags.Lookup(flag).Value.String() }
	for _, p := range plain {
		if r.flags.Changed(p.flag) {
			p.at(d)[p.field] = text(p.flag)
			connects = connects || p.connects
		}
	}
	for _, k := range kinds {
		if r.flags.Changed("password-" + k.flag) {
			d.connection()["password"], connects = map[string]any{k.field: text("password-" + k.flag)}, true
		}
	}
	switch {
	case r.flags.Changed("ca-file"):
		pem, err := os.ReadFile(text("ca-file"))
		if err != nil {
			return false, errors.Because(err, errors.Usage, "--ca-file cannot be read: %v.", err)
		}
		d.connection()["ca"], connects = string(pem), true
		delete(d.connection(), "thumbprint")
	case r.flags.Changed("thumbprint"):
		delete(d.connection(), "ca")
	}
	if r.flags.Changed("cluster-size") {
		n, err := r.flags.GetInt("cluster-size")
		if err != nil {
			return false, err
		}
		d.below("properties").below("managementCluster")["clusterSize"] = n
	}
	for flag, set := range map[string]func(on bool){
		"dev":    func(on bool) { d.own()["dev"] = on },
		"pause":  func(on bool) { d.own()["paused"] = on },
		"resume": func(on bool) { d.own()["paused"] = !on },
	} {
		if r.flags.Changed(flag) {
			set(text(flag) == "true")
		}
	}
	return connects || r.file != "", nil
}

// readDocument reads a registration from a file.
func readDocument(path string) (document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Because(err, errors.Usage, "--file cannot be read: %v.", err)
	}
	var d map[string]any
	if err := yaml.Unmarshal(data, &d); err != nil {
		return nil, errors.Because(err, errors.Usage, "--file %s is not YAML or JSON of a private cloud: %s.", path, yaml.FormatError(err, false, false))
	}
	return d, nil
}

func (a *app) privateCloudAdd() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Register a private cloud, and test its logins",
		Long: `Register a private cloud: where its vCenter is, how its certificate is known, and where Airlock finds its credentials. These are
files or variables of the server, or secrets set by set-secret, and are read again at each login. Then every login is
tested, and each test says in a sentence what it found. The registration stays where one fails, and the exit code is 6.

  airlock private-cloud add -n sddc1 --vcenter vc.sddc1.example.com --user scripting@vsphere.local \
      --password-file /etc/airlock/sddc1.password --ca-file sddc1-ca.pem \
      --ssh-password-file '*=/etc/airlock/esx.password'`,
		Args: cobra.NoArgs,
	}
	addNameFlags(cmd, &cloud)
	r := newRegistration(cmd)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		var there resource
		switch _, err := c.do(ctx, http.MethodGet, path, nil, &there); {
		case err == nil:
			return errors.Newf(errors.Conflict, "The private cloud %s is registered already: change it with `airlock private-cloud update`.", there.Name)
		case !errors.Has(err, errors.ResourceNotFound):
			return err
		}
		return a.register(ctx, c, path, r, document{})
	})
	return cmd
}

func (a *app) privateCloudUpdate() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Change the registration of a private cloud, pause or resume its queue, set its state",
		Long: `Change what the flags say of a private cloud, and leave the rest; --file replaces all of it. Where that changes how it is
reached, every login is tested as with add.`,
		Args: cobra.NoArgs,
	}
	addNameFlags(cmd, &cloud)
	r := newRegistration(cmd)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		d := document{}
		if _, err := c.do(ctx, http.MethodGet, path, nil, &d); err != nil {
			return err
		}
		delete(d.own(), "state") // it may change at any time
		return a.register(ctx, c, path, r, d)
	})
	return cmd
}

// register sends a registration, tests it where that makes a difference, and prints both.
func (a *app) register(ctx context.Context, c *client, path string, r *registration, d document) (err error) {
	if r.file != "" {
		if d, err = readDocument(r.file); err != nil {
			return err
		}
	}
	connects, err := r.apply(d)
	if err != nil {
		return err
	}
	if r.ssh.fromInventory(d) {
		// The vCenter knows the hosts, and is asked once Airlock can log in there.
		if _, err := c.do(ctx, http.MethodPut, path, d, nil); err != nil {
			return err
		}
		report, err := c.check(ctx, path)
		if err != nil {
			return err
		}
		if len(report.Hosts) == 0 {
			a.printFindings(report)
			return errors.Newf(errors.SessionFailed, "The hosts could not be taken from the inventory: see to what failed, then update it with the SSH flags again.")
		}
		r.ssh.hosts = report.Hosts
	}
	changed, err := r.ssh.apply(d)
	if err != nil {
		return err
	}
	var stored resource
	if _, err := c.do(ctx, http.MethodPut, path, d, &stored); err != nil {
		return err
	}
	if !connects && !changed {
		return a.showCloud(ctx, c, path)
	}
	report, err := c.check(ctx, path)
	if err != nil {
		return err
	}
	if a.output == "json" {
		err = a.printJSON(map[string]any{"privateCloud": json.RawMessage(stored.Raw), "check": report})
	} else if err = a.showCloud(ctx, c, path); err == nil {
		a.printFindings(report)
	}
	return errors.Join(err, failures(report))
}
