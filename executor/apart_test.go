package executor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
)

// watchedSecrets says of each read whether a value of another place is among what a script is given.
type watchedSecrets struct {
	executor.Secrets
	t *testing.T
}

func placeOf(cloud domain.CloudID, pkg string) string {
	return fmt.Sprintf("secret of %s in %s, ", strings.ToLower(pkg), cloud.Name)
}

func (w watchedSecrets) Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error) {
	got, err := w.Secrets.Read(ctx, cloud, pkg)
	for name, v := range got {
		if !strings.HasPrefix(v.Reveal(), placeOf(cloud, pkg)) {
			w.t.Errorf("%s in %s is given %s = %q", pkg, cloud.Name, name, v.Reveal())
		}
	}
	return got, err
}

// TestSecretsStayApart runs a hundred executions of two packages in two private clouds at once, all with the same names
// of secrets, in turn under a higher version, a lower one, and the package's name in another case.
func TestSecretsStayApart(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.config.Secrets = watchedSecrets{h.secrets, t}
	b := h.start(t)
	names := []string{"Torture", "TORTURE", "torture"}
	var all []domain.Execution
	last := map[string]string{} // by place
	for i := range 100 {
		x := execution(i%2, fmt.Sprint("run-", i), "Set-Secrets")
		x.Package.Name, x.Package.Version = names[i%3], []string{"1.0.0", "2.0.0", "1.5.0"}[i/4%3]
		if i/2%2 == 1 {
			x.Package.Name += ".Other"
		}
		place := placeOf(x.Cloud, x.Package.Name)
		last[place] = fmt.Sprint(place, i)
		x.Parameters = append(x.Parameters, execution(0, "", "", "Value", last[place]).Parameters...)
		all = append(all, b.submit(x))
	}
	for _, x := range all {
		wantSucceeded(t, b.until(t, x.ID, final))
	}
	if len(last) != 4 {
		t.Fatalf("there were %d places, want 4", len(last))
	}
	for n := range 2 {
		for _, pkg := range []string{"Torture", "Torture.Other"} {
			got, err := h.secrets.Read(t.Context(), cloud(n), pkg)
			if want := last[placeOf(cloud(n), pkg)]; err != nil || len(got) != 1 || got["made-by-script"].Reveal() != want {
				t.Errorf("%s in %s has %d secrets, %q, %v; want %q", pkg, cloud(n).Name, len(got), got["made-by-script"].Reveal(), err, want)
			}
		}
	}
}
