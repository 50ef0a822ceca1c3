// Package executor carries out script executions. It claims the oldest of each private cloud, prepares it (state of
// the cloud, secrets, sessions, work directory), runs its cmdlet in a sandbox, stores what it writes, ends it when its
// time is over or somebody asks for it, tears everything down, and then writes how it ended.
//
// Nothing of an execution is left when it reads as finished: no process, file, session or listener. What it changes in
// its package's persistent secrets is kept all together or not at all (end.go). An execution that was running when its
// server died is Failed, and is not run again (recover.go).
package executor

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/airlock-run/airlock/executor/internal/goruntime"
	"github.com/airlock-run/airlock/executor/internal/powershell"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/executor/internal/stream"
	"github.com/airlock-run/airlock/executor/internal/trail"
	"github.com/airlock-run/airlock/executor/internal/workdir"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Store is what the executor needs of internal/store.
type Store interface {
	stream.Store
	trail.Store
	Recover(ctx context.Context) ([]store.Lost, error)
	Work() <-chan struct{}
	Claim(ctx context.Context, node string, max int) ([]domain.Claim, error)
	Watch(id string) (changed <-chan struct{}, stop func())
	ExecutionByID(ctx context.Context, id string) (domain.Execution, error)
	PackageByDigest(ctx context.Context, digest string) (domain.Package, error)
	MarkUpdating(ctx context.Context, id string, fence int64) error
	Start(ctx context.Context, id string, fence int64) error
	SetProgress(ctx context.Context, id string, fence int64, text string) error
	Seal(ctx context.Context, id string, fence int64, intent []byte) error
	Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error
}

// Packages is what the executor needs of the package repository.
type Packages interface {
	// Layout returns the directory in which a package's files lie, read-only.
	Layout(ctx context.Context, digest string) (dir string, err error)
}

// Secrets is a store of persistent secrets. Write, for a version of the package, changes all or nothing, where nil
// deletes, and the same Write again succeeds.
type Secrets interface {
	Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error)
	Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error
}

// Keys has a key for each execution. Somebody else destroys it when the execution has ended.
type Keys interface {
	Make(id string) (seal.Key, error) // the one that there is, else a new one
	Get(id string) (seal.Key, error)
}

// Sessions opens the sessions of an execution; they end with ctx. Their calls are told to record until the Grant's Done is
// closed.
type Sessions interface {
	Open(ctx context.Context, x domain.Execution, listen domain.Listen, record audit.Writer) (domain.Grant, error)
}

// Config joins the executor to the other parts.
type Config struct {
	Store    Store
	Packages Packages
	Secrets  Secrets
	Sessions Sessions
	Keys     Keys         // with which secure parameters were sealed (seal.SealValues), and the intent is
	Audit    audit.Writer // of the installation; an execution's own are in Store, too
	Dir      string       // for work directories; of this executor alone, and made if missing
	Node     string       // this executor's name, for claims and audit

	PowerShell string // path of pwsh, "" where there is none: then packages with that runtime do not run

	Isolation Isolation        // IsolationSandbox when ""
	Limits    Limits           // of one execution, in the sandbox only; DefaultLimits where one is 0
	Own       []netip.AddrPort // where Airlock itself listens: no egress policy leads there

	MaxRunning int   // executions at once over all private clouds; DefaultMaxRunning when 0
	MaxOutput  int64 // bytes of output of one execution over all streams, 16 a record included; DefaultMaxOutput when 0

	Now    func() time.Time // time.Now when nil
	Logger *slog.Logger     // discards when nil
}

// Defaults of Config.
const (
	DefaultMaxRunning = 32
	DefaultMaxOutput  = 256 << 20
)

// bounds are the times that the contracts give. Tests have shorter ones.
type bounds struct {
	preparation time.Duration // from the claim until the cmdlet starts
	grace       time.Duration // from the request to end until the kill
	grantEnd    time.Duration // until what does not end of sessions and connections is left to itself
	poll        time.Duration // for work that no wake-up told of
	retry       time.Duration // until the end of an execution is written again, where a store is not to be had
	forward     time.Duration // after a restart, for the secret store to take what an execution left before it
}

// Executor carries out executions.
type Executor struct {
	cfg      Config
	bounds   bounds
	runtimes map[manifest.Runtime]runtime.Runtime
	sandbox  sandbox.Sandbox
	dirs     *workdir.Dirs
}

// New returns an Executor that does nothing yet.
func New(cfg Config) *Executor {
	if cfg.MaxRunning == 0 {
		cfg.MaxRunning = DefaultMaxRunning
	}
	if cfg.MaxOutput == 0 {
		cfg.MaxOutput = DefaultMaxOutput
	}
	if limits, err := cfg.Limits.Complete(); err == nil { // else Run says so
		cfg.Limits = limits
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Executor{
		cfg:    cfg,
		bounds: bounds{5 * time.Minute, 5 * time.Second, 10 * time.Second, time.Second, time.Second, 10 * time.Minute},
		runtimes: map[manifest.Runtime]runtime.Runtime{
			manifest.Go:         goruntime.Runtime{},
			manifest.PowerShell: powershell.Runtime{Path: cfg.PowerShell, Known: &powershell.Known{}},
		},
	}
}

// Run recovers what an earlier process left, and then carries out executions until ctx ends. What runs then is asked
// to end, and killed after the grace of 5 s; Run returns when nothing is left of it. It is called once. A bound of the
// configuration that is too small or negative is an error.
func (e *Executor) Run(ctx context.Context) (err error) {
	if e.cfg.MaxRunning < 0 || e.cfg.MaxOutput < 0 {
		return fmt.Errorf("the executor cannot run %d executions at once of %d bytes of output each", e.cfg.MaxRunning, e.cfg.MaxOutput)
	}
	if _, err := e.cfg.Limits.Complete(); err != nil {
		return err
	}
	if e.dirs, err = workdir.Open(filepath.Join(e.cfg.Dir, "work")); err != nil {
		return err
	}
	defer e.dirs.Close()
	if e.sandbox, err = openSandbox(e.cfg.Isolation, e.cfg.Limits); err != nil {
		return err
	}
	defer e.sandbox.Close()
	rest, err := e.recover(ctx)
	if err != nil {
		return err
	}
	var rolling sync.WaitGroup
	defer rolling.Wait()
	for _, l := range rest {
		rolling.Go(func() { e.rollForward(ctx, l) })
	}
	e.claim(ctx)
	return nil
}

// claim claims executions and runs each in a goroutine of its own, until ctx ends and they have ended.
func (e *Executor) claim(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	ended := make(chan struct{}, e.cfg.MaxRunning)
	poll := time.NewTicker(e.bounds.poll)
	defer poll.Stop()
	for free := e.cfg.MaxRunning; ctx.Err() == nil; {
		work := e.cfg.Store.Work()
		if free > 0 {
			// Not cut short by ctx: a claim that is made without our knowing would hold up its private cloud.
			claims, err := e.cfg.Store.Claim(context.WithoutCancel(ctx), e.cfg.Node, free)
			if err != nil {
				e.cfg.Logger.ErrorContext(ctx, "executions cannot be claimed", "error", err)
			}
			free -= len(claims)
			for _, c := range claims {
				running.Go(func() {
					e.execute(ctx, c)
					ended <- struct{}{}
				})
			}
		}
		select {
		case <-ctx.Done():
		case <-work:
		case <-poll.C:
		case <-ended:
			free++
		}
	}
}
