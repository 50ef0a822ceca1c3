package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
)

// call is a call of a cmdlet.
type call struct {
	psrptest.Command
	session  *session
	pipeline *psrptest.Pipeline
}

// cmdlets are those of testdata/Torture/Torture.psm1. Each says whether it has ended its pipeline.
var cmdlets = map[string]func(*call) bool{
	"Write-All": func(c *call) bool {
		c.write("stream 1", "stream 2", "stream 3", "stream 4")
		c.pipeline.Progress("copying", "3 of 7", -1)
		c.pipeline.ProgressOver("copying")
		c.pipeline.Text("")
		c.pipeline.Text("last")
		c.set("NamedOutputs", clixml.Table(entry("one", "1"), entry("two", "zwei")))
		return false
	},
	"Write-Start": func(c *call) bool {
		told, err := c.told()
		if err != nil {
			return c.session.mistake(c.pipeline, err.Error())
		}
		c.pipeline.Text(told)
		return false
	},
	"Write-Plain": func(c *call) bool {
		c.pipeline.Junk([]byte("one\ntwo\r\n\n" + strings.Repeat("ä", 1<<20) + "\nunfinished"))
		fmt.Fprint(os.Stderr, "an error\n")
		return false
	},
	"Write-Lines": func(c *call) bool {
		count, err := strconv.Atoi(c.Argument("Count").Str())
		if err != nil {
			return c.session.mistake(c.pipeline, err.Error())
		}
		for i := range count / 4 {
			line := "line " + strconv.Itoa(i) + " of stream "
			c.write(line+"1", line+"2", line+"3", line+"4")
		}
		return false
	},
	"Set-Secrets": func(c *call) bool {
		c.keep("made-by-script", c.Argument("Value"))
		c.keep("removed", clixml.Null())
		return false
	},
	"Stop-Failing": func(c *call) bool {
		c.keep("failing", clixml.Text("kept-by-nobody"))
		c.set("NamedOutputs", clixml.Table(entry("kept", "no")))
		c.pipeline.Error(failure("about to fail"))
		c.pipeline.Failed(failure("The disk is too small."))
		return true
	},
	"Stop-Hard": func(c *call) bool {
		c.pipeline.Text("before the end")
		os.Exit(3)
		return true
	},
	"Stop-Killed": func(*call) bool { end(128 + int(syscall.SIGKILL)); return true },
	"Wait-Cancel": func(c *call) bool {
		c.pipeline.Text("ready")
		select {
		case <-c.pipeline.Stopped():
			c.pipeline.Text("asked: finally")
			c.keep("canceled", clixml.Text("kept-by-nobody"))
			c.pipeline.EndStopped()
		case <-c.pipeline.Gone():
		}
		return true
	},
	"Wait-Forever": func(c *call) bool { // in a call that PowerShell cannot interrupt
		c.pipeline.Text("ready")
		<-c.pipeline.Gone()
		return true
	},
	"Write-Flood": func(c *call) bool {
		for line := strings.Repeat("flood ", 20); ; {
			select {
			case <-c.pipeline.Stopped():
				c.pipeline.EndStopped()
				return true
			case <-c.pipeline.Gone():
				return true
			default:
				c.pipeline.Text(line)
			}
		}
	},
	"Start-Children": func(c *call) bool {
		for _, kind := range []string{"same", "session"} {
			child := exec.Command("/bin/sleep", "1000")
			child.Stdout, child.Stderr, child.SysProcAttr = os.Stdout, os.Stderr, &syscall.SysProcAttr{Setsid: kind == "session"}
			if err := child.Start(); err != nil {
				return c.session.mistake(c.pipeline, err.Error())
			}
			c.pipeline.Host(fmt.Sprint(kind, " ", child.Process.Pid))
		}
		c.pipeline.Text("ready")
		return false
	},
}

// write writes a line to each of the four streams.
func (c *call) write(output, information, warning, failed string) {
	c.pipeline.Text(output)
	c.pipeline.Information(clixml.Text(information))
	c.pipeline.Warning(warning)
	c.pipeline.Error(failure(failed))
}

func (c *call) set(name string, v *clixml.Value) { c.session.globals[strings.ToLower(name)] = v }

func (c *call) global(name string) *clixml.Value { return c.session.globals[strings.ToLower(name)] }

// keep changes a persistent secret.
func (c *call) keep(name string, v *clixml.Value) {
	table := c.global("PersistentSecrets")
	for i, p := range table.Pairs {
		if strings.EqualFold(p.Key.Str(), name) {
			table.Pairs[i].Value = v
			return
		}
	}
	table.Pairs = append(table.Pairs, clixml.Pair{Key: clixml.Text(name), Value: v})
}

// told is all that the cmdlet was told, as the JSON that Torture.psm1 writes.
func (c *call) told() (string, error) {
	type argument struct {
		Type, Value, Username string `json:",omitempty"`
	}
	var told struct {
		VCAddress, SddcDNSSuffix, SddcResourceID, AadAuthority string

		Parameters      map[string]argument
		Secrets, Secure map[string]string
	}
	for name, to := range map[string]*string{"VC_ADDRESS": &told.VCAddress, "SddcDnsSuffix": &told.SddcDNSSuffix,
		"SddcResourceId": &told.SddcResourceID, "AadAuthority": &told.AadAuthority} {
		*to = c.global(name).Str()
	}
	told.Parameters, told.Secrets, told.Secure = map[string]argument{}, map[string]string{}, map[string]string{"Plain": ""}
	for _, p := range c.Parameters {
		a, err := c.session.server.Argument(p)
		if err != nil {
			return "", err
		}
		switch a.Kind {
		case "S":
			told.Parameters[p.Name] = argument{Type: "String", Value: a.Text}
		case "SS":
			told.Parameters[p.Name], told.Secure[p.Name] = argument{Type: "SecureString"}, a.Text
		case "PSCredential":
			told.Parameters[p.Name], told.Secure[p.Name] = argument{Type: "Credential", Username: a.User}, a.Text
		}
	}
	for _, p := range c.global("PersistentSecrets").Pairs {
		told.Secrets[p.Key.Str()] = p.Value.Str()
	}
	b, err := json.Marshal(told)
	return string(b), err
}

func entry(name, value string) clixml.Pair {
	return clixml.Pair{Key: clixml.Text(name), Value: clixml.Text(value)}
}

func failure(text string) psrptest.Failure {
	return psrptest.Failure{Message: text, ID: text, Exception: "System.Management.Automation.RuntimeException", Trace: "at Torture, Torture.psm1: line 1"}
}

// end ends the process as a real one ended: with a status, which for a signal is 128 and its number.
func end(status int) {
	if status == 128+int(syscall.SIGKILL) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	os.Exit(status)
}
