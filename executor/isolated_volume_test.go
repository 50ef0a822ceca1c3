package executor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
)

// A hundred executions over fifty private clouds, as many at once as may be, end well in rooms of their own.
func TestManyRooms(t *testing.T) {
	t.Parallel()
	h := isolatedHome(t)
	h.config.MaxRunning = 50
	b := h.start(t)
	began := time.Now()
	var all []domain.Execution
	for i := range 100 {
		all = append(all, b.submit(execution(i%50, fmt.Sprint("x", i), "Write-All")))
	}
	for _, x := range all {
		x = b.until(t, x.ID, final)
		wantSucceeded(t, x)
		if n := len(b.records(t, x.ID)); n != 6 {
			t.Errorf("%s wrote %d records", x.Name, n)
		}
	}
	t.Logf("after %v", time.Since(began))
	b.wantNothingLeft(t)
}
