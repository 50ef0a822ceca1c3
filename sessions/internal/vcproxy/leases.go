package vcproxy

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Bounds of the leases of one execution.
const (
	maxLeases     = 64       // the oldest is forgotten
	maxLeaseFiles = 4096     // of one lease
	maxLease      = 64 << 10 // bytes of the answer to a call that makes one
)

// makesLease are the methods that answer with a HttpNfcLease.
var makesLease = map[string]bool{"ImportVApp": true, "ExportVm": true, "ExportVApp": true, "ExportSnapshot": true}

// leases are those that the execution got from the vCenter (HttpNfcLease), by which files go to and from hosts. Which
// files these are the vCenter is asked when the first one is wanted, so that no answer to a script has to be followed
// for it.
type leases struct {
	mu  sync.Mutex // held while the vCenter is asked
	all []*lease   // the oldest first
}

type lease struct {
	types.ManagedObjectReference
	files []leaseFile // nil until the vCenter has said them
}

// leaseFile is a file on a host, and the host's certificate.
type leaseFile struct {
	url        *url.URL
	thumbprint string // as vSphere writes it, of SHA-1 or SHA-256; "" where the lease has none
}

// learn remembers the lease that is in the answer to a call.
func (l *leases) learn(answer []byte) {
	var a struct {
		Body struct {
			Response struct {
				Returnval types.ManagedObjectReference `xml:"returnval"`
			} `xml:",any"`
		}
	}
	ref := &a.Body.Response.Returnval
	if xml.Unmarshal(answer, &a) != nil || ref.Type != "HttpNfcLease" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, &lease{ManagedObjectReference: *ref})
	l.all = l.all[max(0, len(l.all)-maxLeases):]
}

// find finds the file of a lease by its host and URL. Leases of which the files are not known yet are asked for them.
func (l *leases) find(ctx context.Context, host string, u *url.URL, ask func(context.Context, types.ManagedObjectReference) (*types.HttpNfcLeaseInfo, error)) (*leaseFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range []bool{true, false} {
		for _, made := range slices.Backward(slices.Clone(l.all)) {
			if (made.files != nil) != known {
				continue
			}
			if !known {
				info, err := ask(ctx, made.ManagedObjectReference)
				if gone(err) {
					l.all = slices.DeleteFunc(l.all, func(v *lease) bool { return v == made })
					continue
				} else if err != nil {
					return nil, err
				}
				made.files = filesOf(info)
			}
			for i := range made.files {
				if f := &made.files[i]; f.url.Path == u.Path && strings.EqualFold(f.url.Hostname(), host) {
					return f, nil
				}
			}
		}
	}
	return nil, nil
}

// gone says whether a lease has ended, by itself or with the session that had it.
func gone(err error) bool {
	return fault.Is(err, &types.ManagedObjectNotFound{}) || fault.Is(err, &types.NotAuthenticated{})
}

// filesOf are the files of a lease; nil if it is not ready.
func filesOf(info *types.HttpNfcLeaseInfo) []leaseFile {
	if info == nil {
		return nil
	}
	files := []leaseFile{}
	for _, d := range info.DeviceUrl[:min(len(info.DeviceUrl), maxLeaseFiles)] {
		u, err := url.Parse(d.Url)
		if err != nil || u.Scheme != "https" || u.Port() != "" && u.Port() != "443" || u.RawQuery != "" {
			continue
		}
		files = append(files, leaseFile{u, d.SslThumbprint})
	}
	return files
}

// leaseInfo asks the vCenter for the files of a lease, in the session that has it.
func (p *proxy) leaseInfo(ctx context.Context, ref types.ManagedObjectReference) (*types.HttpNfcLeaseInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	login, err := p.logins.vim.Get(ctx)
	if err != nil {
		return nil, err
	}
	var m mo.HttpNfcLease
	if err := property.DefaultCollector(login.client).RetrieveOne(ctx, ref, []string{"info"}, &m); err != nil {
		return nil, fmt.Errorf("files of %s: %w", ref, err)
	}
	return m.Info, nil
}
