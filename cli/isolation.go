package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/errors"
)

// checkIsolation refuses to go without an isolation that was asked for.
func checkIsolation(ctx context.Context, chosen executor.Isolation) error {
	if chosen == executor.IsolationNone {
		return nil
	}
	if missing := missingForIsolation(ctx); missing != "" {
		return errors.Newf(errors.Usage, "This machine cannot isolate scripts, for it lacks %s: `airlock doctor` says how to get that. With --isolation none they run as ordinary processes of this user, which is for packages that you trust with all that it can reach.", missing)
	}
	return nil
}

// missingForIsolation names what the machine lacks to isolate scripts, "" where it lacks nothing.
func missingForIsolation(ctx context.Context) string {
	var names []string
	for _, f := range executor.Features(ctx) {
		if f.Needed && !f.Found {
			names = append(names, f.Name)
		}
	}
	const most = 3 // without the first of them there are none of the others
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
