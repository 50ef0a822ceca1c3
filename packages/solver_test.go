package packages

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
)

// counted is an index of packages with dependencies that counts what is asked of it.
type counted struct {
	Index
	needs func(name string) []domain.Dependency
	asked int
}

func (c *counted) Packages(_ context.Context, name string) ([]domain.Package, error) {
	c.asked++
	return []domain.Package{{Name: name, Version: "1.0.0", Library: true, Review: domain.Review{State: domain.Submitted}, Spec: domain.Spec{Dependencies: c.needs(name)}}}, nil
}

// A search that cannot end within its steps ends before it has taken memory for all that it would have to look at.
func TestNeedsBeyondTheSteps(t *testing.T) {
	t.Parallel()
	var all []domain.Dependency
	for i := range maxLock {
		all = append(all, domain.Dependency{ID: fmt.Sprintf("lib%d", i)})
	}
	index := &counted{needs: func(string) []domain.Dependency { return all }}
	r := &Repository{index: index}
	_, err := r.lock(t.Context(), domain.Package{Name: "P", Version: "1.0.0", Spec: domain.Spec{Dependencies: all}})
	if err == nil || !strings.Contains(err.Error(), "the dependencies of P@1.0.0 are too many to be resolved") {
		t.Error(err)
	}
	if most := maxSteps / maxLock; index.asked > most {
		t.Errorf("%d packages were looked at; after %d there are more needs than steps", index.asked, most)
	}
}
