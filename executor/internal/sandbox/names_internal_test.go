package sandbox

import "testing"

func TestNames(t *testing.T) {
	n := newNames(map[string]string{"vc": "VCSA.example.test", "lone": "nobody", "bad name": "esx1"})
	for _, c := range []struct{ host, want string }{
		{"vcsa.example.test", "198.18.0.1"},
		{"VC", "198.18.0.1"}, // another name of it
		{"VCSA.Example.Test", "198.18.0.1"},
		{"esx1", "198.18.0.2"},
		{"10.1.2.3", "10.1.2.3"}, // its own address
	} {
		if a, err := n.of(c.host); err != nil || a.String() != c.want {
			t.Errorf("%s: %v, %v", c.host, a, err)
		}
	}
	for _, host := range []string{"", "a b", "a\n10.0.0.1 vc", "a#b", "2001:db8::1", "::ffff:10.0.0.1"} {
		if a, err := n.of(host); err == nil {
			t.Errorf("%q has the address %v", host, a)
		}
	}
	const want = "127.0.0.1 localhost\n198.18.0.1 vcsa.example.test vc\n198.18.0.2 esx1\n"
	if got := n.file(); got != want {
		t.Errorf("hosts:\n%s", got)
	}
}

// The alias of an address is a name in the file.
func TestNamesOfAddresses(t *testing.T) {
	n := newNames(map[string]string{"vc": "10.0.0.2"})
	if a, err := n.of("vc"); err != nil || a.String() != "10.0.0.2" {
		t.Error(a, err)
	}
	if got, want := n.file(), "127.0.0.1 localhost\n10.0.0.2 vc\n"; got != want {
		t.Errorf("hosts:\n%s", got)
	}
}
