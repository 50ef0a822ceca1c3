// Package store keeps Airlock's state: private clouds, packages' declarations, executions with their queue and output,
// and operations.
package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Config says where the state lies and how it is bounded.
type Config struct {
	Path      string           // of the database file; its directory must exist
	Now       func() time.Time // time.Now when nil
	Logger    *slog.Logger     // discards when nil
	MaxQueued int              // executions that may wait per private cloud, 1000 when 0
}

// Store is the state of one Airlock. All methods can be called from any goroutine.
type Store struct{}

// Lost is an execution that was running when an earlier process ended.
type Lost struct {
	Claim  domain.Claim
	Intent []byte // nil: the execution has been ended; else it has to be rolled forward and finished under Claim.Fence
}

var errSkeleton = errors.New("store: to be filled")

// Open opens the state file.
func Open(ctx context.Context, cfg Config) (*Store, error) { return nil, errSkeleton }

// Close closes the state file.
func (s *Store) Close() error { return errSkeleton }

// PutPrivateCloud stores a private cloud.
func (s *Store) PutPrivateCloud(ctx context.Context, c domain.PrivateCloud) error { return errSkeleton }

// PrivateCloud reads a private cloud.
func (s *Store) PrivateCloud(ctx context.Context, id domain.CloudID) (domain.PrivateCloud, error) {
	return domain.PrivateCloud{}, errSkeleton
}

// PrivateClouds lists private clouds.
func (s *Store) PrivateClouds(ctx context.Context, subscription, resourceGroup string) ([]domain.PrivateCloud, error) {
	return nil, errSkeleton
}

// SetCloudState sets the state by hand.
func (s *Store) SetCloudState(ctx context.Context, id domain.CloudID, state domain.CloudState) error {
	return errSkeleton
}

// PutPackage stores a version of a package.
func (s *Store) PutPackage(ctx context.Context, p domain.Package) error { return errSkeleton }

// Packages lists versions.
func (s *Store) Packages(ctx context.Context, name string) ([]domain.Package, error) {
	return nil, errSkeleton
}

// PackageByDigest reads one version.
func (s *Store) PackageByDigest(ctx context.Context, digest string) (domain.Package, error) {
	return domain.Package{}, errSkeleton
}

// Submit accepts an execution.
func (s *Store) Submit(ctx context.Context, x domain.Execution) (stored domain.Execution, created bool, err error) {
	return x, false, errSkeleton
}

// Execution reads an execution by name.
func (s *Store) Execution(ctx context.Context, cloud domain.CloudID, name string) (domain.Execution, error) {
	return domain.Execution{}, errSkeleton
}

// ExecutionByID reads an execution.
func (s *Store) ExecutionByID(ctx context.Context, id string) (domain.Execution, error) {
	return domain.Execution{}, errSkeleton
}

// Executions lists executions.
func (s *Store) Executions(ctx context.Context, cloud domain.CloudID, after string, limit int) (page []domain.Execution, next string, err error) {
	return nil, "", errSkeleton
}

// Position says what a waiting execution waits for.
func (s *Store) Position(ctx context.Context, id string) (domain.Position, error) {
	return domain.Position{}, errSkeleton
}

// Cancel asks an execution to end and keeps its record.
func (s *Store) Cancel(ctx context.Context, cloud domain.CloudID, name string) (domain.Execution, error) {
	return domain.Execution{}, errSkeleton
}

// Delete ends an execution and removes its record.
func (s *Store) Delete(ctx context.Context, cloud domain.CloudID, name, opID string) (op domain.Operation, existed bool, err error) {
	return domain.Operation{}, false, errSkeleton
}

// Operation reads an operation.
func (s *Store) Operation(ctx context.Context, id string) (domain.Operation, error) {
	return domain.Operation{}, errSkeleton
}

// Claim takes the next executions.
func (s *Store) Claim(ctx context.Context, node string, max int) ([]domain.Claim, error) {
	return nil, errSkeleton
}

// MarkUpdating sets the private cloud's state to Updating.
func (s *Store) MarkUpdating(ctx context.Context, id string, fence int64) error { return errSkeleton }

// Start notes that the cmdlet starts.
func (s *Store) Start(ctx context.Context, id string, fence int64) error { return errSkeleton }

// Append stores output.
func (s *Store) Append(ctx context.Context, id string, fence int64, recs []domain.Record) error {
	return errSkeleton
}

// Records reads output by seq.
func (s *Store) Records(ctx context.Context, id string, after int64, limit, maxBytes int) ([]domain.Record, error) {
	return nil, errSkeleton
}

// Tail reads the end of a stream.
func (s *Store) Tail(ctx context.Context, id string, stream domain.Stream, maxLines, maxBytes int) (recs []domain.Record, omitted int64, err error) {
	return nil, 0, errSkeleton
}

// Rewrite replaces stored output.
func (s *Store) Rewrite(ctx context.Context, id string, fence int64, rewrite func([]domain.Record) ([]domain.Record, bool)) error {
	return errSkeleton
}

// Seal stores the intent.
func (s *Store) Seal(ctx context.Context, id string, fence int64, intent []byte) error {
	return errSkeleton
}

// Finish ends an execution.
func (s *Store) Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error {
	return errSkeleton
}

// Recover ends what an earlier process left running.
func (s *Store) Recover(ctx context.Context) ([]Lost, error) { return nil, errSkeleton }

// Expire removes what is past its retention.
func (s *Store) Expire(ctx context.Context, limit int) (n int, err error) { return 0, errSkeleton }

// Watch wakes whenever something about the execution changes.
func (s *Store) Watch(id string) (changed <-chan struct{}, stop func()) { return nil, func() {} }

// Work wakes when something can be claimed.
func (s *Store) Work() <-chan struct{} { return nil }
