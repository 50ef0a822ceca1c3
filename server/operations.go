package server

import (
	"net/http"
	"net/url"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// operationStatus is the body by which ARM's clients follow an operation. The error of one that did not end well is
// what they hand to their callers.
type operationStatus struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Status    domain.State `json:"status"`
	StartTime time.Time    `json:"startTime"`
	EndTime   time.Time    `json:"endTime,omitzero"`
	Error     *armError    `json:"error,omitempty"`
}

func statusPath(cloud domain.CloudID, id string) string {
	return cloud.String() + "/operationStatuses/" + id
}

func (r *request) statusAddress(cloud domain.CloudID, id string) string {
	return r.address(statusPath(cloud, id), url.Values{})
}

func (r *request) resultAddress(cloud domain.CloudID, id string) string {
	return r.address(cloud.String()+"/operationResults/"+id, url.Values{})
}

// getOperationStatus is Azure-AsyncOperation: always 200, held until the operation has ended.
func (s *Server) getOperationStatus(a *answer, r *request) error {
	op, err := s.await(r)
	if err != nil {
		return err
	}
	out := operationStatus{
		ID: statusPath(op.Cloud, op.ID), Name: op.ID, Status: op.State, StartTime: op.Started.UTC(), EndTime: op.Finished.UTC(),
		Error: endError(op.State, op.Failure),
	}
	if !op.State.Final() {
		a.Header().Set("Retry-After", "1")
	}
	return a.send(http.StatusOK, out)
}

// endError says why something did not end well: nil where it did, or has not ended.
func endError(state domain.State, failure *domain.Failure) *armError {
	switch {
	case failure != nil:
		return &armError{Code: failure.Code, Message: failure.Message}
	case state == domain.Canceled:
		return &armError{Code: errors.ScriptCanceled, Message: "The script execution was canceled or deleted before it ended."}
	}
	return nil
}

// getOperationResult is Location: 202 until the operation has ended, then 204.
func (s *Server) getOperationResult(a *answer, r *request) error {
	op, err := s.await(r)
	if err != nil {
		return err
	}
	if op.State.Final() {
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
	a.Header().Set("Retry-After", "1")
	a.Header().Set("Location", r.resultAddress(op.Cloud, op.ID))
	a.WriteHeader(http.StatusAccepted)
	return nil
}

// await holds the request until the operation in its path has ended.
func (s *Server) await(r *request) (op domain.Operation, err error) {
	read := func() (bool, error) {
		op, err = s.cfg.Store.Operation(r.Context(), r.vars["operation"])
		if errors.Has(err, errors.ResourceNotFound) || err == nil && op.Cloud.Key() != r.cloud.Key() { // another one's is not there
			err = errors.Newf(errors.ResourceNotFound, "There is no operation %s of the private cloud %s; operations are kept for 24 hours after their script execution was deleted.",
				r.vars["operation"], r.cloud.Name)
		}
		return op.State.Final(), err
	}
	if ended, err := read(); ended || err != nil {
		return op, err
	}
	err = s.hold(r, op.Execution, read)
	return op, err
}
