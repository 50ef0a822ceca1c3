package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// az takes several words after one flag: --parameter name=X type=Value value=Y. pflag takes one. joinPairs makes one
// word of them, joined by pairSeparator, before cobra sees them.

const pairSeparator = "\x1f"

var pairFlags = map[string]bool{"-p": true, "--parameter": true, "--hidden-parameter": true, "--named-outputs": true}

func joinPairs(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(joined, args[i:]...)
		}
		joined = append(joined, args[i])
		if !pairFlags[args[i]] {
			continue
		}
		first := i + 1
		for i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && (i+1 == first || strings.Contains(args[i+1], "=")) {
			i++
		}
		if first <= i {
			joined = append(joined, strings.Join(args[first:i+1], pairSeparator))
		}
	}
	return joined
}

// parameter is one parameter of an execution as ARM takes it.
type parameter struct {
	Name        string  `json:"name"`
	Type        string  `json:"type"`
	Value       *string `json:"value,omitempty"`
	SecureValue *string `json:"secureValue,omitempty"`
	Username    *string `json:"username,omitempty"`
	Password    *string `json:"password,omitempty"`
}

// parseParameter reads one --parameter. It has az's form, name=X type=Value value=Y (or secureValue=Y, or username=U
// password=P; the type may be left out), or the short form X=Y for plain values. A value @FILE is read from the file,
// @- from standard input, so that secrets need not stand on the command line.
func parseParameter(word string, stdin io.Reader) ([]parameter, error) {
	words := strings.Split(word, pairSeparator)
	pairs := map[string]string{}
	var short []parameter
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, fmt.Errorf("the parameter %q is not of the form name=NAME value=VALUE", w)
		}
		value, err := readValue(value, stdin)
		if err != nil {
			return nil, err
		}
		pairs[strings.ToLower(key)] = value
		short = append(short, parameter{Name: key, Type: "Value", Value: &value})
	}
	name, ok := pairs["name"]
	if !ok || len(words) == 1 {
		return short, nil
	}
	if len(pairs) < len(words) {
		return nil, fmt.Errorf("the parameter %s has a key that is given twice", name)
	}
	p := parameter{Name: name, Type: pairs["type"]}
	fields := map[string]**string{"value": &p.Value, "securevalue": &p.SecureValue, "username": &p.Username, "password": &p.Password}
	for key, value := range pairs {
		if key == "name" || key == "type" {
			continue
		}
		field, known := fields[key]
		if !known {
			return nil, fmt.Errorf("the parameter %s has the unknown key %q: known are name, type, value, secureValue, username and password", name, key)
		}
		*field = &value
	}
	switch {
	case p.Type != "":
	case p.SecureValue != nil:
		p.Type = "SecureValue"
	case p.Password != nil:
		p.Type = "Credential"
	default:
		p.Type = "Value"
	}
	return []parameter{p}, nil
}

func readValue(value string, stdin io.Reader) (string, error) {
	file, ok := strings.CutPrefix(value, "@")
	if !ok {
		return value, nil
	}
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return "", fmt.Errorf("a parameter's value cannot be read: %w", err)
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}
