package simcloud

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/simulator"
	vim "github.com/vmware/govmomi/vim25/types"
)

// The sentences that clients see when they are refused.
const (
	refusedGuest     = "Guest operations are not simulated."
	refusedDatastore = "The simulated private cloud takes no datastores of its own: use the one that is there."
	refusedLogin     = "Log in with a user and a password, or with a token from this vCenter's STS."
)

// refusal says in one sentence why a call must not reach vcsim, or "".
func refusal(m *simulator.Method) string {
	switch m.This.Type {
	case "GuestProcessManager", "GuestFileManager", "GuestAuthManager", "GuestAliasManager", "GuestWindowsRegistryManager":
		return refusedGuest
	}
	switch m.Name {
	case "CreateLocalDatastore", "CreateNasDatastore", "CreateVmfsDatastore", "CreateVvolDatastore":
		return refusedDatastore
	case "LoginExtensionByCertificate", "LoginBySSPI":
		return refusedLogin
	case "CreateImportSpec", "ParseDescriptor", "ValidateHost":
		if s := refuseDescriptor(m.Body); s != "" {
			return s
		}
	}
	return refuse(m.Body)
}

// refuse looks for what must not reach vcsim in a method's arguments, at any depth: a forbidden key, or a path that
// leaves its datastore.
func refuse(v any) string { return walk(reflect.ValueOf(v), "") }

func walk(v reflect.Value, field string) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return walk(v.Elem(), field)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return ""
		}
		for i := range v.Len() {
			if s := walk(v.Index(i), field); s != "" {
				return s
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				if s := walk(v.Field(i), f.Name); s != "" {
					return s
				}
			}
		}
	case reflect.String:
		return refuseString(v.String(), field)
	}
	return ""
}

func refuseString(s, field string) string {
	if field == "Key" && forbiddenKey(s) {
		return fmt.Sprintf("The key %q is refused: RUN.* would run a command on the simulator's machine, and SET.* and vcsim.* are its own.", s)
	}
	if !freeText[field] && climbs(s) {
		return fmt.Sprintf("The path %q is refused: it leads out of its datastore.", s)
	}
	return ""
}

// climbs says whether a path has ".." in it: a datastore path ("[datastore] a/b"), or a URL, which vcsim unescapes.
func climbs(s string) bool {
	paths := []string{s}
	if u, err := url.Parse(s); err == nil {
		paths = append(paths, u.Path)
	}
	return slices.ContainsFunc(paths, func(p string) bool {
		return slices.ContainsFunc(strings.Split(p, "/"), func(name string) bool {
			return strings.TrimSpace(name[strings.LastIndex(name, "]")+1:]) == ".."
		})
	})
}

// freeText has the names of fields that vcsim keeps as text and never makes a path of.
var freeText = map[string]bool{"Annotation": true, "Description": true, "OvfDescriptor": true, "Password": true, "Value": true}

// forbiddenKey says whether an option's key is one that vcsim acts upon. Case and what surrounds the key do not matter:
// vcsim compares exactly today, and this must hold tomorrow.
func forbiddenKey(key string) bool {
	key = strings.ToLower(strings.TrimFunc(key, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }))
	for _, prefix := range []string{"run.", "vcsim."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	property, set := strings.CutPrefix(key, "set.")
	return set && !strings.HasPrefix(property, "guest.")
}

// refuseDescriptor looks into an OVF descriptor, which is one string to the method. vcsim takes no ExtraConfig from
// one today.
func refuseDescriptor(body any) string {
	f := reflect.Indirect(reflect.ValueOf(body)).FieldByName("OvfDescriptor")
	if !f.IsValid() {
		return ""
	}
	envelope, err := ovf.Unmarshal(strings.NewReader(f.String()))
	if err != nil {
		return "" // vcsim refuses what does not scan
	}
	return refuse(envelope)
}

// fault makes the SOAP fault that carries a sentence.
func fault(sentence string) vim.BaseMethodFault {
	return &vim.InvalidArgument{
		RuntimeFault: vim.RuntimeFault{MethodFault: vim.MethodFault{
			FaultMessage: []vim.LocalizableMessage{{Key: "airlock.simcloud.refused", Message: sentence}},
		}},
	}
}
