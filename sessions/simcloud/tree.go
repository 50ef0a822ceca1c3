package simcloud

import (
	"fmt"
	"os"
	"path"

	"github.com/airlock-run/airlock/sessions/simcloud/internal/sshd"
)

// newTree makes the file system of a simulated host: a few files to look at, and places to write.
func newTree(dir, fqdn string, system sshd.System) (*os.Root, error) {
	files := map[string]string{
		"etc/hostname": fqdn + "\n",
		"etc/hosts":    "127.0.0.1\tlocalhost\n",
	}
	dirs := []string{"tmp", "root"}
	switch system {
	case sshd.ESXi:
		files["etc/vmware/esx.conf"] = fmt.Sprintf("/adv/Misc/HostName = %q\n", fqdn)
		files["var/log/vmkernel.log"] = "cpu0:1)Boot: simulated host\n"
		dirs = append(dirs, "vmfs/volumes/"+datastoreName)
	case sshd.VCenter:
		files["etc/issue"] = "VMware vCenter Server 8.0.2 (simulated)\n"
		files["var/log/vmware/vpxd/vpxd.log"] = "info vpxd[1] simulated vCenter\n"
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := fill(root, dirs, files); err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

func fill(root *os.Root, dirs []string, files map[string]string) error {
	for _, d := range dirs {
		if err := root.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
