package cli

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions"
)

// registered are the private clouds in the store. Those without a connection are simulated.
type registered struct {
	*store.Store
	secrets   secretStore
	simulated simulated
	getenv    func(string) string
	own       own
}

// own is what the server keeps for itself: no reference may lead there, because what it leads to is sent to the server
// that the same registration names.
type own struct {
	state string // directory
	tls   config.TLS
	key   config.MasterKey
}

// has says whether the credential would be one of the server's own.
func (o own) has(ref domain.Reference) bool {
	if ref.File == "" {
		return ref.Environment != "" && ref.Environment == o.key.Environment
	}
	path, err := filepath.EvalSymlinks(ref.File)
	if err != nil {
		return false // it will not be read either
	}
	state, err := filepath.EvalSymlinks(o.state)
	if rel, outside := filepath.Rel(state, path); err != nil || outside == nil && filepath.IsLocal(rel) {
		return true
	}
	info, err := os.Stat(path)
	for _, file := range []string{o.key.File, o.tls.Key} {
		if other, missing := os.Stat(file); err == nil && missing == nil && os.SameFile(info, other) {
			return true
		}
	}
	return false
}

// Upstream implements sessions.Clouds.
func (r registered) Upstream(ctx context.Context, id domain.CloudID) (sessions.Upstream, error) {
	c, err := r.PrivateCloud(ctx, id)
	if err != nil {
		return sessions.Upstream{}, err
	}
	return r.upstream(ctx, c)
}

func (r registered) upstream(ctx context.Context, c domain.PrivateCloud) (sessions.Upstream, error) {
	if c.Connection == nil {
		return r.simulated.Upstream(ctx, c.ID)
	}
	return sessions.NewUpstream(ctx, c, r)
}

func (r registered) check(ctx context.Context, c domain.PrivateCloud) (domain.Report, error) {
	up, err := r.upstream(ctx, c)
	if err != nil {
		return domain.Report{}, err
	}
	return sessions.Check(ctx, up), nil
}

// maxCredential is the most bytes of a file with a password or a key.
const maxCredential = 64 << 10

// Credential implements sessions.Registry. A newline at the end, which editors add, is not part of a credential.
func (r registered) Credential(ctx context.Context, cloud domain.CloudID, ref domain.Reference) (secret.Text, error) {
	if r.own.has(ref) {
		return secret.Text{}, errors.Newf(errors.SessionFailed, "A private cloud's registration may not name %s, which is the server's own: keep the credential elsewhere.", ref)
	}
	var value string
	switch {
	case ref.File != "":
		data, err := durable.ReadPrivate(ref.File, maxCredential)
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("there is no such file on the server")
		}
		if err != nil {
			return secret.Text{}, errors.Because(err, errors.SessionFailed, "Airlock cannot read %s: %v.", ref, err)
		}
		value = string(data)
	case ref.Environment != "":
		value = r.getenv(ref.Environment)
	default:
		all, err := r.secrets.Read(ctx, cloud, domain.OwnSecrets)
		if err != nil {
			return secret.Text{}, err
		}
		for name, v := range all {
			if strings.EqualFold(name, ref.Secret) && !v.IsEmpty() {
				return v, nil
			}
		}
	}
	if value = strings.TrimRight(value, "\r\n"); value == "" {
		return secret.Text{}, errors.Newf(errors.SessionFailed, "There is nothing in %s, which the private cloud's registration names: see that the server has it.", ref)
	}
	return secret.New(value), nil
}
