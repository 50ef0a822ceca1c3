package cli

import (
	"path/filepath"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
)

// A new start keeps a pause, and a private cloud that was registered under the name of a simulated one.
func TestSimulatedCloudsOfANewStart(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "airlock.db"), Key: seal.NewKey()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	start := func() domain.PrivateCloud {
		t.Helper()
		clouds, err := simulate(t.Context(), 1, domain.Egress{Internet: true}, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := clouds.Close(); err != nil {
			t.Error(err)
		}
		c, err := s.PrivateCloud(t.Context(), simulatedID("sddc1"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	put := func(c domain.PrivateCloud) {
		t.Helper()
		if err := s.PutPrivateCloud(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	c := start()
	c.Paused, c.Egress = true, domain.Egress{}
	put(c)
	if c = start(); !c.Paused || !c.Egress.Internet {
		t.Errorf("after a new start: %+v", c)
	}
	c.VCenter, c.Connection = "vc.example.com", &domain.Connection{User: "u", Password: domain.Reference{File: "/f"}}
	put(c)
	if c = start(); c.VCenter != "vc.example.com" || c.Connection == nil {
		t.Errorf("one that was registered is simulated now: %+v", c)
	}
}
