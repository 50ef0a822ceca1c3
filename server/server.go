// Package server is Airlock's API: the part of Azure Resource Manager's Microsoft.AVS that has to do with script
// executions, in the form that `az vmware`, the Azure SDKs and curl speak, and a few routes of our own beside it.
//
// A request goes through ServeHTTP in one way: ids for the log, authentication (before anything is revealed), the
// route from the one table in routes.go, names, authorisation (the same answer whether or not there is what the path
// names), api-version, then the route's handler. A handler answers or returns an
// error; only this package's one place writes errors, in ARM's form. Nothing here runs a script: a PUT is checked,
// sealed and stored, and the executor takes it from there.
//
// Who waits for an execution is held: the answer to a status or streams request comes when there is something to say,
// at the latest after Config.Hold. That is what makes the clients' pollers, whose own pace is one question in 30 s,
// learn of the end at once.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server/internal/issuer"
	"github.com/airlock-run/airlock/server/internal/token"
)

// Store is what the API needs of the store. Errors for users are *errors.Error; what does not exist is
// ResourceNotFound.
type Store interface {
	PrivateCloud(ctx context.Context, id domain.CloudID) (domain.PrivateCloud, error)
	PrivateClouds(ctx context.Context, subscription, resourceGroup string) ([]domain.PrivateCloud, error)
	PutPrivateCloud(ctx context.Context, c domain.PrivateCloud) error
	RemovePrivateCloud(ctx context.Context, id domain.CloudID) (existed bool, err error)

	// Submit stores a new execution. One of the same name with the same BodyDigest is returned as it is, created
	// false; with another digest it is a Conflict.
	Submit(ctx context.Context, x domain.Execution) (stored domain.Execution, created bool, err error)
	Execution(ctx context.Context, cloud domain.CloudID, name string) (domain.Execution, error)
	ExecutionByID(ctx context.Context, id string) (domain.Execution, error)
	Executions(ctx context.Context, cloud domain.CloudID, after string, limit int) (page []domain.Execution, next string, err error)
	Position(ctx context.Context, id string) (domain.Position, error)
	Cancel(ctx context.Context, cloud domain.CloudID, name string) (domain.Execution, error)
	Delete(ctx context.Context, cloud domain.CloudID, name, operation string) (op domain.Operation, existed bool, err error)
	Operation(ctx context.Context, id string) (domain.Operation, error)

	// AssignmentsOf lists the role assignments of principals, Assignments those at, above and below a scope.
	AssignmentsOf(ctx context.Context, principals []domain.Principal) ([]domain.Assignment, error)
	Assignments(ctx context.Context, at domain.Scope) ([]domain.Assignment, error)
	Assignment(ctx context.Context, id string) (domain.Assignment, error)
	PutAssignment(ctx context.Context, a domain.Assignment) (stored domain.Assignment, created bool, err error)
	DeleteAssignment(ctx context.Context, id string, keepLast bool) error

	Feature(ctx context.Context, subscription, name string) (domain.FeatureState, error)
	SetFeature(ctx context.Context, subscription, name string, registered bool) error

	Records(ctx context.Context, id string, after int64, limit, maxBytes int) ([]domain.Record, error)
	Tail(ctx context.Context, id string, stream domain.Stream, maxLines, maxBytes int) (recs []domain.Record, omitted int64, err error)

	// Progress is how far a running execution says that it is.
	Progress(ctx context.Context, id string) (domain.Progress, error)

	// Audit reads audit events of an execution in order, from the one after the seq after.
	Audit(ctx context.Context, id string, after int64, limit int) ([]audit.Event, error)

	// Watch wakes whoever waits for a change of the execution: its state, its output, its end.
	Watch(id string) (changed <-chan struct{}, stop func())
}

// Packages is the package repository as one private cloud sees it.
type Packages interface {
	List(ctx context.Context, cloud domain.PrivateCloud, all bool) ([]domain.Package, error)
	Resolve(ctx context.Context, cloud domain.PrivateCloud, ref string) (domain.Package, error)
}

// Secrets is the store of persistent secrets. The credentials of a private cloud itself are those of the package id
// domain.OwnSecrets there.
type Secrets interface {
	List(ctx context.Context, cloud domain.CloudID, pkg string) ([]domain.PersistentSecret, error)
	Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error
	RemoveCloud(ctx context.Context, cloud domain.CloudID) error
}

// Sealer keeps secure parameters from sight: sealed for the executor, and as a keyed digest by which two bodies are
// compared without being kept.
type Sealer interface {
	SealValues(executionID string, values domain.SecureValues) ([]byte, error)
	Discard(executionID string) // what was sealed is not needed: there is no such execution
	Digest(b []byte) []byte
}

// Config has the parts that the API stands on. All but the ones with a default are required.
type Config struct {
	Store      Store
	Packages   Packages
	Feed       Feed
	Repository Repository
	Secrets    Secrets
	Check      func(context.Context, domain.PrivateCloud) (domain.Report, error) // tests the logins, within 50 s
	Sealer     Sealer
	Audit      audit.Writer
	Logger     *slog.Logger
	Now        func() time.Time
	NewID      func() string // UUIDv7

	// Who may come in. URL is the server's, as its clients know it: https:// and no slash at the end. It is what
	// Airlock's own tokens are issued by and for.
	URL           string
	Identities    Identities
	TokenKey      seal.Key           // for this purpose only: the keys of Airlock's own tokens are sealed with it
	Issuers       []Issuer           // others whose tokens are taken, which have passed CheckIssuers
	Authenticator Authenticator      // asked before all others; nil for none
	Providers     []domain.Principal // who is Provider whatever the store says

	Hold      time.Duration // how long a request is held at most; 0 means 20 s
	MaxHeld   int           // requests held at once, past which answers come without waiting; 0 means 1024
	MaxActive int           // requests worked on at once, and as many of public routes, past which they are TooManyRequests; 0 means 128
}

// Server is the API as an http.Handler. HTTPServer makes an http.Server of it with fitting limits.
type Server struct {
	cfg     Config
	routes  []route
	issuer  *issuer.Issuer
	tokens  *token.Verifier
	actions []string      // of the routes
	held    chan struct{} // a place for each held request
	active  chan struct{} // a place for each request that is worked on, not held
	public  chan struct{} // as many for those of everybody, who cannot take the places of whom we know
	reads   chan struct{} // a place for each request that reads the feed, half of the active ones: downloads may take long
	pushes  chan struct{} // a place for each package that comes in

	// registering is held by who changes or removes a private cloud or a credential of its own: the cloud lies in the
	// store and the credentials in another, and one request has to see both as the one before has left them.
	registering sync.Mutex

	release  sync.Once
	released chan struct{}
}

// New makes the API.
func New(c Config) *Server {
	if c.Hold == 0 {
		c.Hold = 20 * time.Second
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = 1024
	}
	if c.MaxActive == 0 {
		c.MaxActive = 128
	}
	own := issuer.New(issuer.Config{URL: c.URL, Store: c.Identities, Key: c.TokenKey, Now: c.Now, NewID: c.NewID, Logger: c.Logger})
	s := &Server{
		issuer: own, tokens: token.New(token.Config{Issuers: c.Issuers, Own: own, Identities: c.Identities, Now: c.Now, Logger: c.Logger}),
		cfg: c, routes: routes(), released: make(chan struct{}),
		held: make(chan struct{}, c.MaxHeld), active: make(chan struct{}, c.MaxActive), public: make(chan struct{}, c.MaxActive),
		reads: make(chan struct{}, max(c.MaxActive/2, 1)), pushes: make(chan struct{}, maxPushes),
	}
	for _, r := range s.routes {
		s.actions = append(s.actions, r.action)
	}
	return s
}

// Release answers the held requests at once, and those that come later without waiting.
func (s *Server) Release() { s.release.Do(func() { close(s.released) }) }

// HTTPServer is an http.Server for the API; address and TLS configuration are the caller's to add. Its Shutdown
// releases the held requests. Limits: 10 s for a request's head of at most 32 KiB, 10 s for its body (readBody), 30 s
// for a client to take each piece of an answer (answer.go), 2 min between two requests of a connection. ReadTimeout
// stays unset, because it would end held requests.
func (s *Server) HTTPServer() *http.Server {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,

		DisableGeneralOptionsHandler: true, // it would answer OPTIONS * to strangers

		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug), // handshakes that fail, connections that break
	}
	h.RegisterOnShutdown(s.Release)
	return h
}

// hold asks ready now and after each change of the execution, until it says true, Hold is over, or the server is
// about to stop. It is for ready to keep what it saw. Who may not see it any more is refused like one who asks then.
func (s *Server) hold(r *request, execution string, ready func() (bool, error)) error {
	changed, stop := s.cfg.Store.Watch(execution)
	defer stop()
	if ok, err := ready(); ok || err != nil {
		return err
	}
	select {
	case s.held <- struct{}{}:
		defer func() { <-s.held }()
	default:
		return nil // too many wait already: this one asks again
	}
	timer := time.NewTimer(s.cfg.Hold)
	defer timer.Stop()
	for {
		if woken, err := s.wait(r.Context(), changed, timer.C); !woken {
			return err
		}
		if err := s.authorise(r); err != nil {
			return err
		}
		if ok, err := ready(); ok || err != nil {
			return err
		}
	}
}

// wait says whether something has changed before the time was over. Who waits is not worked on: its place is another's.
func (s *Server) wait(ctx context.Context, changed <-chan struct{}, over <-chan time.Time) (woken bool, err error) {
	<-s.active
	defer func() { s.active <- struct{}{} }()
	select {
	case <-changed:
		return true, nil
	case <-over:
		return false, nil
	case <-s.released:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
