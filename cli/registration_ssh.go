package cli

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/airlock-run/airlock/internal/errors"
)

// sshFlags are those of add and update that have to do with the SSH of hosts.
type sshFlags struct {
	hosts  []string // names, or name=host:port
	user   string
	keys   []string // name=key
	logins []*sshLogin
}

// sshLogin is one flag that says where credentials are, for the hosts that a pattern matches.
type sshLogin struct {
	flag, credential, kind string // --ssh-password-file, password, file
	given                  []string
}

// inventory stands in --host for the hosts that the vCenter lists.
const inventory = "inventory"

func (s *sshFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&s.hosts, "host", nil, "host where scripts may use SSH: NAME or NAME=HOST:PORT, VC for the vCenter itself, or `inventory` for those that the vCenter lists (default where an --ssh- flag is given); can be repeated")
	f.StringVar(&s.user, "ssh-user", "", "user of the hosts (default: root)")
	f.StringArrayVar(&s.keys, "host-key", nil, "SSH host key, NAME=TYPE KEY, or NAME= to keep that of the next login; can be repeated")
	for _, credential := range []string{"password", "key"} {
		for _, k := range kinds {
			l := &sshLogin{flag: "ssh-" + credential + "-" + k.flag, credential: credential, kind: k.field}
			f.StringArrayVar(&l.given, l.flag, nil, "where the hosts' SSH "+credential+" is: "+k.use+"; PATTERN=VALUE is for the hosts that the pattern (*, ?) matches; can be repeated")
			s.logins = append(s.logins, l)
		}
	}
}

// fromInventory says whether the hosts are those that the vCenter lists.
func (s *sshFlags) fromInventory(d document) bool {
	if slices.Contains(s.hosts, inventory) {
		return true
	}
	_, known := hostsOf(d)
	return len(s.hosts) == 0 && len(known) == 0 && slices.ContainsFunc(s.logins, func(l *sshLogin) bool { return len(l.given) > 0 })
}

// hostsOf are the hosts in a document: their names in order, and each by its name in lower case.
func hostsOf(d document) (names []string, byName map[string]document) {
	byName = map[string]document{}
	connection, _ := d.own()["connection"].(map[string]any) // a simulated private cloud has none
	list, _ := connection["hosts"].([]any)
	for _, h := range list {
		if host, ok := h.(map[string]any); ok {
			name, _ := host["name"].(string)
			names, byName[strings.ToLower(name)] = append(names, name), host
		}
	}
	return names, byName
}

// apply brings the flags into the hosts of a document. A host that is there already keeps what no flag changes.
func (s *sshFlags) apply(d document) (changed bool, err error) {
	names, known := hostsOf(d)
	if len(s.hosts) > 0 {
		names = s.hosts
	}
	hosts := []any{}
	for _, name := range names {
		name, address, _ := strings.Cut(name, "=")
		host := known[strings.ToLower(name)]
		if host == nil {
			host = document{"name": name, "user": "root"}
		}
		if address != "" {
			host["address"] = address
		}
		if err := s.login(name, host); err != nil {
			return false, err
		}
		known[strings.ToLower(name)] = host
		hosts = append(hosts, map[string]any(host))
	}
	if err := s.pin(known); err != nil {
		return false, err
	}
	changed = len(s.hosts) > 0 || s.user != "" || len(s.keys) > 0 || slices.ContainsFunc(s.logins, func(l *sshLogin) bool { return len(l.given) > 0 })
	if changed {
		d.connection()["hosts"] = hosts
	}
	return changed, nil
}

// login sets user and credential of a host. The first pattern that matches is taken.
func (s *sshFlags) login(name string, host document) error {
	if s.user != "" {
		host["user"] = s.user
	}
	for _, l := range s.logins {
		for _, given := range l.given {
			pattern, value := splitPattern(given)
			match, err := path.Match(strings.ToLower(pattern), strings.ToLower(name))
			if err != nil {
				return errors.Newf(errors.Usage, "--%s: %q is no pattern; it has * for any letters and ? for one.", l.flag, pattern)
			}
			if match {
				delete(host, "password")
				delete(host, "key")
				host[l.credential] = map[string]any{l.kind: value}
				return nil
			}
		}
	}
	if host["password"] == nil && host["key"] == nil {
		return errors.Newf(errors.Usage, "There is no SSH login for the host %s: give a flag such as --ssh-password-file '%s=/path/on/the/server'.", name, name)
	}
	return nil
}

var patternForm = regexp.MustCompile(`^([-A-Za-z0-9._*?\[\]]+)=(.*)$`)

// splitPattern splits PATTERN=VALUE. Without a pattern a value is for all hosts; a path has a slash before any '='.
func splitPattern(s string) (pattern, value string) {
	if m := patternForm.FindStringSubmatch(s); m != nil {
		return m[1], m[2]
	}
	return "*", s
}

// pin sets host keys.
func (s *sshFlags) pin(known map[string]document) error {
	for _, k := range s.keys {
		name, key, ok := strings.Cut(k, "=")
		host := known[strings.ToLower(name)]
		if !ok || host == nil {
			return errors.Newf(errors.Usage, "--host-key is NAME=TYPE KEY, where NAME is one of the private cloud's hosts, not %q.", k)
		}
		host["hostKey"] = strings.TrimSpace(key)
	}
	return nil
}
