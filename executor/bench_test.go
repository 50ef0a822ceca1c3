package executor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/runtimetest"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
)

// parts adds up how long the parts of executions take.
type parts struct {
	mu   sync.Mutex
	took map[string]time.Duration
}

func (p *parts) time(part string) func() {
	begin := time.Now()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.took[part] += time.Since(begin)
	}
}

type timedStore struct {
	executor.Store
	*parts
}

func (s timedStore) Claim(ctx context.Context, node string, max int) ([]domain.Claim, error) {
	defer s.time("claim")()
	return s.Store.Claim(ctx, node, max)
}

func (s timedStore) Start(ctx context.Context, id string, fence int64) error {
	defer s.time("start")()
	return s.Store.Start(ctx, id, fence)
}

func (s timedStore) Append(ctx context.Context, id string, fence int64, recs []domain.Record) error {
	defer s.time("append")()
	return s.Store.Append(ctx, id, fence, recs)
}

func (s timedStore) Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error {
	defer s.time("finish")()
	return s.Store.Finish(ctx, id, fence, o)
}

type timedSecrets struct {
	executor.Secrets
	*parts
}

func (s timedSecrets) Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error) {
	defer s.time("secrets")()
	return s.Secrets.Read(ctx, cloud, pkg)
}

type timedSessions struct {
	executor.Sessions
	*parts
}

func (s timedSessions) Open(ctx context.Context, x domain.Execution, listen domain.Listen, record audit.Writer) (domain.Grant, error) {
	defer s.time("sessions")()
	return s.Sessions.Open(ctx, x, listen, record)
}

type timedRuntime struct {
	runtime.Runtime
	*parts
}

func (r timedRuntime) Run(ctx context.Context, p runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	defer r.time("script")()
	return r.Runtime.Run(ctx, p, stop, h)
}

// BenchmarkNothing is how long it takes from the submission of a cmdlet that does nothing to its final state, beside
// the time in which the same executable is started by itself and ends.
func BenchmarkNothing(b *testing.B) {
	h, err := openHome(b.TempDir(), packageDir)
	if err != nil {
		b.Fatal(err)
	}
	defer h.store.Close()
	p := &parts{took: map[string]time.Duration{}}
	h.config.Store = timedStore{h.store, p}
	h.config.Secrets = timedSecrets{h.secrets, p}
	h.config.Sessions = timedSessions{h.config.Sessions, p}
	e := executor.New(h.config)
	e.WrapRuntime(func(r runtime.Runtime) runtime.Runtime { return timedRuntime{r, p} })
	ctx, end := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	if err := h.addCloud(1); err != nil {
		b.Fatal(err)
	}
	n, bare := 0, time.Duration(0)
	for b.Loop() {
		n++
		submitted := p.time("submit")
		x, _, err := h.store.Submit(b.Context(), execution(1, fmt.Sprint("x", n), "Test-Nothing"))
		submitted()
		if err != nil {
			b.Fatal(err)
		}
		untilFinal(b, h, x.ID)
		b.StopTimer()
		begin := time.Now()
		// Without its socket the executable ends at once.
		_ = exec.Command(filepath.Join(packageDir, runtimetest.ScriptName)).Run()
		bare += time.Since(begin)
		b.StartTimer()
	}
	whole := b.Elapsed()
	end()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(whole)/float64(bare), "×bare")
	b.ReportMetric(float64(bare.Microseconds())/float64(n)/1000, "bare-ms")
	for part, took := range p.took {
		b.ReportMetric(float64(took.Microseconds())/float64(n)/1000, part+"-ms")
	}
}

func untilFinal(b *testing.B, h *home, id string) {
	changed, stop := h.store.Watch(id)
	defer stop()
	for {
		x, err := h.store.ExecutionByID(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if x.State == domain.Succeeded {
			return
		}
		if x.State.Final() {
			b.Fatalf("it reads %+v", x.Failure)
		}
		<-changed
	}
}

// BenchmarkLines is how fast output goes to the store, and the most memory that the server takes meanwhile: it must
// not depend on how many lines there are.
func BenchmarkLines(b *testing.B) {
	for _, count := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			h, err := openHome(b.TempDir(), packageDir)
			if err != nil {
				b.Fatal(err)
			}
			defer h.store.Close()
			if err := h.addCloud(1); err != nil {
				b.Fatal(err)
			}
			ctx, end := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- executor.New(h.config).Run(ctx) }()
			debug.FreeOSMemory()
			if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins anew: proc(5)
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				n++
				x, _, err := h.store.Submit(b.Context(), execution(1, fmt.Sprint("x", n), "Write-Lines", "Count", fmt.Sprint(count)))
				if err != nil {
					b.Fatal(err)
				}
				untilFinal(b, h, x.ID)
			}
			b.ReportMetric(float64(n*count)/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(peak(b), "peak-MiB")
			end()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// peak is the peak of the resident memory of this process in MiB.
func peak(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	var kib int
	_, after, _ := strings.Cut(string(data), "VmHWM:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}
