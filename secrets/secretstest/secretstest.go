// Package secretstest is the suite that every store of persistent secrets passes.
package secretstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/secrets"
)

// Store is what is tested.
type Store interface {
	Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error)
	Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error
	List(ctx context.Context, cloud domain.CloudID, pkg string) ([]domain.PersistentSecret, error)
	RemoveCloud(ctx context.Context, cloud domain.CloudID) error
}

// Cloud is the private cloud with the name.
func Cloud(name string) domain.CloudID {
	return domain.CloudID{Subscription: "11111111-2222-3333-4444-555555555555", ResourceGroup: "rg", Name: name}
}

// Set makes changes of pairs of names and values; the value "-" deletes.
func Set(pairs ...string) map[string]*secret.Text {
	changes := map[string]*secret.Text{}
	for pair := range slices.Chunk(pairs, 2) {
		changes[pair[0]] = nil
		if pair[1] != "-" {
			value := secret.New(pair[1])
			changes[pair[0]] = &value
		}
	}
	return changes
}

// Expect fails the test unless the package has these secrets and no others.
func Expect(t *testing.T, s Store, cloud domain.CloudID, pkg string, pairs ...string) {
	t.Helper()
	got, err := s.Read(t.Context(), cloud, pkg)
	if err != nil {
		t.Fatalf("reading %s in %s: %v", pkg, cloud.Name, err)
	}
	plain := make(map[string]string, len(got))
	for name, value := range got {
		plain[name] = value.Reveal()
	}
	want := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		want[pair[0]] = pair[1]
	}
	if !maps.Equal(plain, want) {
		t.Errorf("%s in %s has %.300q, want %.300q", pkg, cloud.Name, plain, want)
	}
}

// Run runs the suite. open opens the same store each time it is called within one test, and a new one for each test:
// what was written is there after it was opened again.
func Run(t *testing.T, newStore func(t *testing.T) (open func() Store)) {
	for name, test := range map[string]func(*testing.T, func() Store){
		"changes":    testChanges,
		"isolation":  testIsolation,
		"removal":    testRemoval,
		"names":      testNames,
		"list":       testList,
		"refusals":   testRefusals,
		"bounds":     testBounds,
		"concurrent": testConcurrent,
		"context":    testContext,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newStore(t))
		})
	}
}

func write(t *testing.T, s Store, cloud domain.CloudID, pkg string, pairs ...string) {
	t.Helper()
	if err := s.Write(t.Context(), cloud, pkg, "1.0.0", Set(pairs...)); err != nil {
		t.Fatalf("writing %s in %s: %v", pkg, cloud.Name, err)
	}
}

func testChanges(t *testing.T, open func() Store) {
	cloud, s := Cloud("a"), open()
	Expect(t, s, cloud, "P")
	write(t, s, cloud, "P", "one", "1", "two", "2", "odd", "\"\\\n ü <&>")
	Expect(t, s, cloud, "P", "one", "1", "two", "2", "odd", "\"\\\n ü <&>")
	write(t, s, cloud, "P", "two", "22", "odd", "-", "never-there", "-")
	Expect(t, open(), cloud, "P", "one", "1", "two", "22")
	write(t, s, cloud, "P", "two", "22", "odd", "-") // the same again
	Expect(t, s, cloud, "P", "one", "1", "two", "22")
	write(t, s, cloud, "P", "one", "")
	Expect(t, s, cloud, "P", "two", "22")
	write(t, s, cloud, "P")
	Expect(t, s, cloud, "P", "two", "22")
	write(t, s, cloud, "P", "two", "-")
	Expect(t, open(), cloud, "P")
	write(t, s, cloud, "P", "two", "again") // a name that was deleted is free
	Expect(t, open(), cloud, "P", "two", "again")
}

func testIsolation(t *testing.T, open func() Store) {
	s := open()
	type place struct {
		cloud domain.CloudID
		pkg   string
	}
	places := []place{
		{Cloud("a"), "P"}, {Cloud("b"), "P"}, {Cloud("a"), "P.Q"}, {Cloud("a"), "P-Q"}, {Cloud("a"), "P_Q"}, {Cloud("a.p"), "Q"},
		{domain.CloudID{Subscription: "other", ResourceGroup: "rg", Name: "a"}, "P"},
		{domain.CloudID{Subscription: Cloud("").Subscription, ResourceGroup: "rg2", Name: "a"}, "P"},
	}
	for i, p := range places {
		write(t, s, p.cloud, p.pkg, "password", fmt.Sprint("value ", i))
	}
	for i, p := range places {
		Expect(t, s, p.cloud, p.pkg, "password", fmt.Sprint("value ", i))
	}
	upper := Cloud("A")
	upper.ResourceGroup = "RG"
	Expect(t, s, upper, "p", "password", "value 0") // the same cloud and package in another case
	write(t, s, upper, "p", "password", "changed")
	Expect(t, s, Cloud("a"), "P", "password", "changed")
}

func testRemoval(t *testing.T, open func() Store) {
	s := open()
	for _, cloud := range []domain.CloudID{Cloud("a"), Cloud("a.p"), Cloud("b")} {
		for _, pkg := range []string{"P", "P.Q", "p-1.2"} {
			write(t, s, cloud, pkg, "one", "1", "two", "2")
		}
	}
	upper := Cloud("A")
	for range 2 { // the second time there is nothing left
		if err := s.RemoveCloud(t.Context(), upper); err != nil {
			t.Fatal(err)
		}
	}
	s = open()
	for _, pkg := range []string{"P", "P.Q", "p-1.2"} {
		Expect(t, s, Cloud("a"), pkg)
		Expect(t, s, Cloud("a.p"), pkg, "one", "1", "two", "2")
		Expect(t, s, Cloud("b"), pkg, "one", "1", "two", "2")
	}
	write(t, s, Cloud("a"), "P", "new", "3")
	Expect(t, s, Cloud("a"), "P", "new", "3")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.RemoveCloud(ctx, Cloud("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func testNames(t *testing.T, open func() Store) {
	cloud, s := Cloud("a"), open()
	long := strings.Repeat("n", 127)
	write(t, s, cloud, "P", "Admin-Password", "1", long, "2", "0", "3")
	Expect(t, s, cloud, "P", "Admin-Password", "1", long, "2", "0", "3")
	write(t, s, cloud, "P", "ADMIN-password", "4")
	Expect(t, open(), cloud, "P", "Admin-Password", "4", long, "2", "0", "3") // the case of the first time
	write(t, s, cloud, "P", "admin-password", "-")
	Expect(t, s, cloud, "P", long, "2", "0", "3")
}

func testList(t *testing.T, open func() Store) {
	cloud, s := Cloud("a"), open()
	before := time.Now().Add(-time.Minute) // a store's clock is its own
	if err := s.Write(t.Context(), cloud, "P", "1.0.0", Set("b", "canary", "A", "canary", "c", "canary")); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), cloud, "p", "2.0.0-dev", Set("B", "canary2", "c", "-", "d", "canary")); err != nil {
		t.Fatal(err)
	}
	infos, err := open().List(t.Context(), Cloud("A"), "P")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range infos {
		got = append(got, i.Name+" "+i.Version)
		if i.Changed.Before(before) || i.Changed.After(time.Now().Add(time.Minute)) {
			t.Errorf("%s was changed %v", i.Name, i.Changed)
		}
	}
	if want := []string{"A 1.0.0", "b 2.0.0-dev", "d 2.0.0-dev"}; !slices.Equal(got, want) {
		t.Errorf("listed are %q, want %q", got, want)
	}
	if infos, err = s.List(t.Context(), cloud, "Another"); err != nil || len(infos) > 0 {
		t.Errorf("another package has %v, %v", infos, err)
	}
}

func testRefusals(t *testing.T, open func() Store) {
	cloud, s := Cloud("a"), open()
	write(t, s, cloud, "P", "kept", "1")
	for _, c := range []struct {
		name, value string
		code        errors.Code
	}{
		{"", "x", errors.SecretNameInvalid},
		{"a_b", "x", errors.SecretNameInvalid},
		{"a.b", "x", errors.SecretNameInvalid},
		{"a b", "x", errors.SecretNameInvalid},
		{"ä", "x", errors.SecretNameInvalid},
		{"\u212a", "x", errors.SecretNameInvalid}, // the Kelvin sign, a k to those who fold case by Unicode
		{"a\n", "x", errors.SecretNameInvalid},
		{"../x", "x", errors.SecretNameInvalid},
		{"a/b", "-", errors.SecretNameInvalid},
		{strings.Repeat("n", 128), "x", errors.SecretNameInvalid},
		{"KEPT", "x", errors.SecretNameInvalid}, // beside "kept" in the same changes
		{"big", strings.Repeat("v", secrets.MaxValue+1), errors.SecretStoreFailed},
		{"binary", "canary\xff", errors.SecretStoreFailed},
	} {
		changes := Set("kept", "2", "new", "3", c.name, c.value)
		err := s.Write(t.Context(), cloud, "P", "1.0.0", changes)
		if !errors.Has(err, c.code) {
			t.Errorf("%.50q: %v, want %s", c.name, err, c.code)
		}
		if err != nil && (strings.Contains(err.Error(), "vvvv") || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%.50q: the error holds the value: %v", c.name, err)
		}
	}
	Expect(t, s, cloud, "P", "kept", "1")
	for _, pkg := range []string{"", "..", "a/b", "a\x00", strings.Repeat("p", 101)} {
		if err := s.Write(t.Context(), cloud, pkg, "1.0.0", Set("a", "b")); !errors.Has(err, errors.SecretStoreFailed) {
			t.Errorf("package %.20q: %v", pkg, err)
		}
		if _, err := s.Read(t.Context(), cloud, pkg); !errors.Has(err, errors.SecretStoreFailed) {
			t.Errorf("package %.20q: %v", pkg, err)
		}
	}
	if _, err := s.Read(t.Context(), domain.CloudID{}, "P"); !errors.Has(err, errors.SecretStoreFailed) {
		t.Errorf("no cloud: %v", err)
	}
}

func testBounds(t *testing.T, open func() Store) {
	cloud, s := Cloud("a"), open()
	var pairs []string
	for i := range secrets.MaxNames {
		pairs = append(pairs, fmt.Sprintf("%0127d", i), fmt.Sprint(i))
	}
	pairs[1], pairs[3] = strings.Repeat("v", secrets.MaxValue), strings.Repeat("ü", secrets.MaxValue/2)
	write(t, s, cloud, "P", pairs...)
	Expect(t, open(), cloud, "P", pairs...)
	if err := s.Write(t.Context(), cloud, "P", "1.0.0", Set("one-more", "x", pairs[0], "changed")); !errors.Has(err, errors.SecretStoreFailed) || !strings.Contains(err.Error(), "at most 256") {
		t.Errorf("one more than allowed: %v", err)
	}
	Expect(t, s, cloud, "P", pairs...)
	write(t, s, cloud, "P", "one-more", "x", pairs[0], "-") // one for another
	Expect(t, s, cloud, "P", append(pairs[2:], "one-more", "x")...)
}

func testConcurrent(t *testing.T, open func() Store) {
	const packages, rounds = 6, 5
	s := open()
	var all sync.WaitGroup
	for p := range packages {
		for half := range 2 { // two writers of each package, each with names of its own, and a reader
			all.Go(func() {
				for round := range rounds {
					name, value := fmt.Sprintf("half-%d-%d", half, round), fmt.Sprint(p, half, round)
					if err := s.Write(t.Context(), Cloud("a"), fmt.Sprint("P", p), "1.0.0", Set(name, value, fmt.Sprint("last-", half), value)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Go(func() {
			for range rounds {
				got, err := s.Read(t.Context(), Cloud("a"), fmt.Sprint("P", p))
				for name, value := range got {
					if !strings.HasPrefix(value.Reveal(), fmt.Sprint(p, " ")) {
						t.Errorf("P%d has %s of another package", p, name)
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for p := range packages {
		var want []string
		for half := range 2 {
			for round := range rounds {
				want = append(want, fmt.Sprintf("half-%d-%d", half, round), fmt.Sprint(p, half, round))
			}
			want = append(want, fmt.Sprint("last-", half), fmt.Sprint(p, half, rounds-1))
		}
		Expect(t, s, Cloud("a"), fmt.Sprint("P", p), want...)
	}
}

func testContext(t *testing.T, open func() Store) {
	cloud, s := Cloud("a"), open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, cloud, "P", "1.0.0", Set("a", "b")); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if _, err := s.Read(ctx, cloud, "P"); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	Expect(t, s, cloud, "P")
}
