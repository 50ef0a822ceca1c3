package powershell

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/internal/domain"
)

// Names of .NET types that read otherwise than by their ToString().
const (
	typeCustomObject = "System.Management.Automation.PSCustomObject"
	typeSecureString = "System.Security.SecureString"
	typeEnum         = "System.Enum"
	deserialized     = "Deserialized." // stands before the types of what has come out of another process
)

// Text is what a value that a script wrote reads as. Primitives are in their invariant form, dates in ISO 8601; what holds
// others is compact JSON of at most domain.MaxRecord bytes; $null is empty; everything else is what its ToString() said.
// A SecureString stays closed.
func Text(v *clixml.Value) string {
	switch {
	case v.IsNull():
		return ""
	case isContainer(v):
		w := writer{}
		w.value(v)
		return string(w.out)
	}
	return plain(v)
}

// key is the text of a dictionary's key. What holds others says its type only, for it may hold the dictionary.
func key(v *clixml.Value) string {
	switch {
	case !isContainer(v):
		return Text(v)
	case len(v.Types) > 0:
		return v.Types[0]
	}
	return "(" + string(v.Held) + v.Tag + ")"
}

// isContainer says whether a value reads as JSON.
func isContainer(v *clixml.Value) bool {
	return v.Tag == "BA" || isList(v) || v.Held == clixml.Dictionary || isCustom(v) || v.Base != nil && isContainer(v.Base)
}

// isList says whether a value is items in an order. Of other collections than lists PowerShell sends no ToString().
func isList(v *clixml.Value) bool {
	return v.Held == clixml.List || v.Held != clixml.None && v.Held != clixml.Dictionary && v.String == nil
}

// isCustom says whether a value is the properties that it has been given, and nothing else.
func isCustom(v *clixml.Value) bool {
	return v.Is(typeCustomObject) || v.Is(deserialized+typeCustomObject) ||
		v.Tag == "Obj" && len(v.Types) == 0 && v.String == nil && v.Base == nil && v.Held == clixml.None
}

// longestNumber is how long, in bytes, the text of a primitive can be to be turned into another; a decimal has 31. A message can
// refer to one value some 100,000 times, so what reads much has to write much, which is bounded.
const longestNumber = 64

// plain is the text of what holds no others.
func plain(v *clixml.Value) string {
	switch v.Tag {
	case "Obj":
	case "C":
		if len(v.Text) > longestNumber {
			return v.Text
		}
		if n, err := strconv.ParseUint(v.Text, 10, 16); err == nil {
			return string(rune(n))
		}
		return v.Text
	case "B":
		switch v.Text {
		case "true":
			return "True"
		case "false":
			return "False"
		}
		return v.Text
	case "Db", "Sg":
		return strings.Replace(v.Text, "INF", "Infinity", 1)
	case "TS":
		return timeSpan(v.Text)
	case "SS":
		return typeSecureString
	default:
		return v.Text
	}
	switch {
	case v.String != nil:
		return *v.String
	case v.Base != nil:
		return Text(v.Base)
	case len(v.Types) > 0: // what ToString() says where nobody has written one
		return strings.TrimPrefix(v.Types[0], deserialized)
	}
	return ""
}

// timeSpan turns an ISO 8601 duration of days and less into the form that .NET gives a TimeSpan: "1.02:03:04.5000000".
func timeSpan(iso string) string {
	if len(iso) > longestNumber {
		return iso
	}
	rest, isNegative := strings.CutPrefix(iso, "-")
	rest, isDuration := strings.CutPrefix(rest, "P")
	var days, hours, minutes, ticks uint64
	for len(rest) > 0 && isDuration {
		if rest[0] == 'T' {
			rest = rest[1:]
			continue
		}
		n := strings.IndexFunc(rest, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
		if n <= 0 {
			return iso
		}
		whole, fraction, _ := strings.Cut(rest[:n], ".")
		number, err := strconv.ParseUint(whole, 10, 32)
		if err != nil || len(fraction) > 7 {
			return iso
		}
		switch rest[n] {
		case 'D':
			days = number
		case 'H':
			hours = number
		case 'M':
			minutes = number
		case 'S':
			ticks, err = strconv.ParseUint(whole+(fraction + "0000000")[:7], 10, 64)
		default:
			return iso
		}
		if err != nil {
			return iso
		}
		rest = rest[n+1:]
	}
	if !isDuration {
		return iso
	}
	text := fmt.Sprintf("%02d:%02d:%02d", hours, minutes, ticks/1e7)
	if days > 0 {
		text = fmt.Sprintf("%d.%s", days, text)
	}
	if ticks%1e7 > 0 {
		text = fmt.Sprintf("%s.%07d", text, ticks%1e7)
	}
	if isNegative {
		text = "-" + text
	}
	return text
}

// Entry is a value of a dictionary that a script left behind.
type Entry struct {
	Text   string
	IsNull bool
	Secret *clixml.Value // a SecureString, for psrp.Client.Reveal; nil of others
}

// Entries are what $NamedOutputs or $PersistentSecrets holds: text, by the same rule as Text. Of $null there are none. The
// error is half a sentence: what v is in place of a dictionary of at most domain.MaxRecord bytes.
func Entries(v *clixml.Value) (map[string]Entry, error) {
	if v.IsNull() {
		return nil, nil
	}
	if v.Held != clixml.Dictionary {
		return nil, fmt.Errorf("it is %s, not a hashtable", kind(v))
	}
	all, size := make(map[string]Entry, len(v.Pairs)), 0
	for _, p := range v.Pairs {
		name := key(p.Key)
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("it has two keys that read %q", name)
		}
		e := Entry{IsNull: p.Value.IsNull()}
		if secret := p.Value; secret.Tag == "SS" || secret.Base != nil && secret.Base.Tag == "SS" {
			e.Secret = secret
		} else {
			e.Text = Text(secret)
		}
		if size += len(name) + len(e.Text); size > domain.MaxRecord {
			return nil, fmt.Errorf("it holds more than %d MiB of text", domain.MaxRecord>>20)
		}
		all[name] = e
	}
	return all, nil
}

// kind names what a value is.
func kind(v *clixml.Value) string {
	if len(v.Types) > 0 {
		return "a " + strings.TrimPrefix(v.Types[0], deserialized)
	}
	switch v.Tag {
	case "S":
		return "a string"
	case "B":
		return "a boolean"
	case "Obj":
		return "an object"
	}
	return "a value"
}
