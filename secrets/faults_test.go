package secrets_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/secrets/secretstest"
)

// faulty is a way to a vault on which one request, or each from there on, goes wrong.
type faulty struct {
	to   policy.Transporter
	does func(f *faulty, r *http.Request) (*http.Response, error)

	mu   sync.Mutex
	n    int  // requests so far
	at   int  // the one that goes wrong; 0 for none
	on   bool // and all after it
	hang chan struct{}
}

func (f *faulty) Do(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.n++
	wrong := f.n == f.at || f.on && f.at > 0 && f.n > f.at
	f.mu.Unlock()
	if wrong {
		return f.does(f, r)
	}
	return f.to.Do(r)
}

func (f *faulty) set(at int, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.at, f.on = 0, at, on
}

func (f *faulty) seen() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// How a request goes wrong.
var faults = map[string]func(f *faulty, r *http.Request) (*http.Response, error){
	"fails": func(*faulty, *http.Request) (*http.Response, error) {
		return nil, errors.New("connection reset by peer")
	},
	"is throttled": func(_ *faulty, r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After-Ms": {"1"}}, Body: http.NoBody, Request: r}, nil
	},
	"is answered, and the answer is lost": func(f *faulty, r *http.Request) (*http.Response, error) {
		if resp, err := f.to.Do(r); err == nil && resp.StatusCode == http.StatusUnauthorized {
			return resp, nil // carried out is what comes after the challenge
		}
		return nil, errors.New("unexpected EOF")
	},
	"hangs": func(f *faulty, r *http.Request) (*http.Response, error) {
		select {
		case f.hang <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	},
}

// What the package has before the Write, what the Write changes, and what the package has then.
var (
	held    = []string{"kept", "1", "Changed", "2", "deleted", "3"}
	changes = []string{"changed", "22", "deleted", "-", "new", "4", "again", "5"}
	then    = []string{"kept", "1", "Changed", "22", "new", "4", "again", "5"}
)

// faultyStore has what is held, and a secret that was deleted, on a way to the vault that is still sound.
func faultyStore(t *testing.T, fault string) (*faulty, *secrets.KeyVault, *secretstest.Vault) {
	t.Helper()
	vault := secretstest.NewVault()
	way := &faulty{to: vault.Transport(), does: faults[fault], hang: make(chan struct{}, 1)}
	s := openVault(t, vault, way)
	for _, pairs := range [][]string{append([]string{"again", "0"}, held...), {"again", "-"}} {
		if err := s.Write(t.Context(), secretstest.Cloud("a"), "P", "1", secretstest.Set(pairs...)); err != nil {
			t.Fatal(err)
		}
	}
	return way, s, vault
}

// each runs a test for the first request of a call, the second, …, as many as there are.
func each(t *testing.T, fault string, call func(t *testing.T, way *faulty, s *secrets.KeyVault, vault *secretstest.Vault) (reached bool)) {
	for at := 1; ; at++ {
		way, s, vault := faultyStore(t, fault)
		way.set(at, false)
		if !call(t, way, s, vault) {
			if at < 8 {
				t.Errorf("only %d requests were reached", at-1)
			}
			return
		}
	}
}

// TestKeyVaultOneFault: a single request that goes wrong is made again, and nobody notices.
func TestKeyVaultOneFault(t *testing.T) {
	t.Parallel()
	for fault := range faults {
		if fault == "hangs" { // until the time-out of one try
			continue
		}
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			each(t, fault, func(t *testing.T, way *faulty, s *secrets.KeyVault, vault *secretstest.Vault) bool {
				at := way.at
				if err := s.Write(t.Context(), secretstest.Cloud("a"), "P", "2", secretstest.Set(changes...)); err != nil {
					t.Errorf("request %d %s: %v", at, fault, err)
				}
				reached := way.seen() >= at
				way.set(0, false)
				secretstest.Expect(t, openVault(t, vault, way), secretstest.Cloud("a"), "P", then...)
				return reached
			})
		})
	}
}

// TestKeyVaultFaultsThatStay: from some request on nothing goes through. The Write then is an error, or was done; who
// reads afterwards finds all of it or nothing; and the same Write again settles it.
func TestKeyVaultFaultsThatStay(t *testing.T) {
	t.Parallel()
	for fault := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			outcomes := map[string]int{}
			each(t, fault, func(t *testing.T, way *faulty, s *secrets.KeyVault, vault *secretstest.Vault) bool {
				at := way.at
				way.set(at, true)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if fault == "hangs" { // until somebody gives up
					go func() {
						select {
						case <-way.hang:
							cancel()
						case <-ctx.Done():
						}
					}()
				}
				err := s.Write(ctx, secretstest.Cloud("a"), "P", "2", secretstest.Set(changes...))
				reached := way.seen() >= at
				hung := fault == "hangs" && errors.Is(err, context.Canceled)
				if err != nil && !hung && !errors.Has(err, errors.SecretStoreFailed) {
					t.Errorf("from request %d on: %v", at, err)
				}
				way.set(0, false)
				kept := isKept(t, openVault(t, vault, way))
				if !kept && err == nil {
					t.Errorf("from request %d on: the Write says that it was done, and it was not", at)
				}
				outcomes[fmt.Sprint("error ", err != nil, ", kept ", kept)]++
				if err := s.Write(t.Context(), secretstest.Cloud("a"), "P", "2", secretstest.Set(changes...)); err != nil {
					t.Errorf("again, after request %d: %v", at, err)
				}
				secretstest.Expect(t, openVault(t, vault, way), secretstest.Cloud("a"), "P", then...)
				return reached
			})
			t.Log(outcomes)
			if outcomes["error true, kept false"] == 0 || outcomes["error false, kept true"] == 0 {
				t.Errorf("the outcomes were only %v", outcomes)
			}
			if strings.Contains(fault, "lost") && outcomes["error true, kept true"] == 0 {
				t.Errorf("the manifest's answer was never lost: %v", outcomes)
			}
		})
	}
}

// isKept says whether the package has all of the changes, or nothing of them; anything between is an error.
func isKept(t *testing.T, s *secrets.KeyVault) bool {
	t.Helper()
	got, err := s.Read(t.Context(), secretstest.Cloud("a"), "P")
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]string{}
	for name, value := range got {
		plain[name] = value.Reveal()
	}
	for i, want := range [][]string{held, then} {
		m := map[string]string{}
		for j := 0; j < len(want); j += 2 {
			m[want[j]] = want[j+1]
		}
		if maps.Equal(m, plain) {
			return i == 1
		}
	}
	t.Errorf("the package has %q, which is a half", plain)
	return false
}

// TestKeyVaultFaultsOfReading: a Read that meets a fault that stays is an error, never a part.
func TestKeyVaultFaultsOfReading(t *testing.T) {
	t.Parallel()
	for fault := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			way, _, vault := faultyStore(t, fault)
			s, err := secrets.HastyKeyVault(secretstest.VaultURL, vault.Credential(), way, patienceFor(fault))
			if err != nil {
				t.Fatal(err)
			}
			for at := 1; at <= 4; at++ { // the manifest and three secrets
				way.set(at, true)
				got, err := s.Read(t.Context(), secretstest.Cloud("a"), "P")
				if !errors.Has(err, errors.SecretStoreFailed) || got != nil {
					t.Errorf("from request %d on: %d secrets, %v", at, len(got), err)
				}
			}
		})
	}
}

// patienceFor has little with what hangs.
func patienceFor(fault string) time.Duration {
	if fault == "hangs" {
		return time.Millisecond
	}
	return time.Hour
}
