package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// How many executions a page of their list has, and how many of them are in memory at a time.
const (
	pageSize = 100
	pageStep = 10
)

// What an execution's resource shows of each of its streams: whichever of the two is reached first.
const (
	tailLines = 1000
	tailBytes = 256 << 10
)

// putExecution accepts an execution. The same body again is answered with what has become of it, also when the cmdlet
// could not be run any more.
func (s *Server) putExecution(a *answer, r *request) error {
	body, err := r.readObject(a)
	if err != nil {
		return err
	}
	sub, err := parseSubmission(body)
	if err != nil {
		return err
	}
	cloud, err := s.parent(r)
	if err != nil {
		return err
	}
	if sub.ref.cloud.Key() != cloud.ID.Key() {
		return invalid("properties.scriptCmdletId", "The cmdlet must be one of the private cloud %s, where it is to run.", cloud.ID.Name)
	}
	digest := s.cfg.Sealer.Digest(sub.normalised())
	name := r.vars["scriptExecution"]
	x, err := s.cfg.Store.Execution(r.Context(), cloud.ID, name)
	switch {
	case err == nil && bytes.Equal(x.BodyDigest, digest) && x.State != domain.Deleting:
		return s.answerPut(a, r, http.StatusOK, x)
	case err != nil && !errors.Has(err, errors.ResourceNotFound):
		return err
	}
	x, err = s.prepare(r, cloud, sub)
	if err != nil {
		return err
	}
	x.Name, x.BodyDigest = name, digest
	id := x.ID
	x, created, err := s.cfg.Store.Submit(r.Context(), x)
	if !created {
		s.cfg.Sealer.Discard(id)
	}
	if err != nil {
		return err
	}
	if created {
		return s.answerPut(a, r, http.StatusCreated, x)
	}
	return s.answerPut(a, r, http.StatusOK, x)
}

// prepare makes the execution that a submission asks for: resolved, checked and sealed.
func (s *Server) prepare(r *request, cloud domain.PrivateCloud, sub submission) (x domain.Execution, err error) {
	p, err := s.cfg.Packages.Resolve(r.Context(), cloud, sub.ref.pkg)
	if err != nil {
		return x, err
	}
	cmdlet, ok := p.Manifest.Cmdlet(sub.ref.cmdlet)
	if !ok {
		return x, noCmdlet(p, sub.ref.cmdlet).At("properties.scriptCmdletId")
	}
	if cmdlet.AutomationOnly && !r.identity.Application() {
		return x, errors.Newf(errors.AuthorizationFailed, "The cmdlet %s is for automation only, and %q is a %s; run it as a service principal.",
			cmdlet.Name, r.identity.Name, r.identity.Principal.Type)
	}
	args, err := checkArguments(sub.given, cmdlet)
	if err != nil {
		return x, err
	}
	x = domain.Execution{
		ID: s.cfg.NewID(), Cloud: cloud.ID, CmdletID: sub.cmdletID, Cmdlet: cmdlet.Name,
		Package: p.Pin(), Lock: p.Lock,
		Parameters: args.visible, Hidden: args.hidden,
		Timeout: sub.timeout, Retention: sub.retention, State: domain.Pending, Submitted: s.cfg.Now(),
	}
	if x.Timeout == 0 {
		x.Timeout = cmdlet.Timeout()
	}
	if len(args.secure) > 0 {
		x.Sealed, err = s.cfg.Sealer.SealValues(x.ID, args.secure)
	}
	return x, err
}

// answerPut has no Retry-After: the client is to ask for the status at once, where it is held. An execution that has
// ended badly has its code in a header too: azcore asks for no status then, and finds it nowhere else.
func (s *Server) answerPut(a *answer, r *request, status int, x domain.Execution) error {
	r.execution = x.ID
	body, err := s.wholeResource(r, x)
	if err != nil {
		return err
	}
	a.Header().Set("Azure-AsyncOperation", r.statusAddress(x.Cloud, x.ID))
	if e := endError(x.State, x.Failure); e != nil {
		a.Header().Set("x-ms-error-code", string(e.Code))
	}
	return a.send(status, body)
}

func (s *Server) getExecution(a *answer, r *request) error {
	x, err := s.execution(r)
	if err != nil {
		return err
	}
	body, err := s.wholeResource(r, x)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, body)
}

// execution is the execution in the request's path.
func (s *Server) execution(r *request) (domain.Execution, error) {
	cloud, err := s.parent(r)
	if err != nil {
		return domain.Execution{}, err
	}
	x, err := s.cfg.Store.Execution(r.Context(), cloud.ID, r.vars["scriptExecution"])
	r.execution = x.ID
	return x, err
}

// wholeResource is an execution with what it waits for and the ends of its streams.
func (s *Server) wholeResource(r *request, x domain.Execution) (resource[executionProperties], error) {
	out := r.executionResource(x)
	if x.State == domain.Pending {
		position, err := s.cfg.Store.Position(r.Context(), x.ID)
		if err != nil && !errors.Has(err, errors.ResourceNotFound) {
			return out, err
		}
		out.Properties.StatusMessage = waitsFor(position, x.Cloud.Name)
	}
	for _, stream := range domain.Streams {
		if x.State == domain.Pending { // there is no output yet
			*out.Properties.of(stream) = []string{}
			continue
		}
		records, omitted, err := s.cfg.Store.Tail(r.Context(), x.ID, stream, tailLines, tailBytes)
		if err != nil {
			return out, err
		}
		lines := make([]string, 0, len(records)+1)
		if omitted > 0 {
			lines = append(lines, fmt.Sprintf("[%d earlier lines are left out here; getExecutionLogs has all of them]", omitted))
		}
		for _, record := range records {
			lines = append(lines, record.Text)
		}
		*out.Properties.of(stream) = lines
	}
	return out, nil
}

func waitsFor(p domain.Position, cloud string) string {
	switch {
	case p.Paused && p.Running == "":
		return fmt.Sprintf("Position %d in the queue of the private cloud %s, which is paused: nothing starts until its provider lets it go on.", p.Ahead+1, cloud)
	case p.Paused:
		return fmt.Sprintf("Position %d in the queue of the private cloud %s, which is paused: %s runs to its end, and nothing else starts until its provider lets it go on.", p.Ahead, cloud, p.Running)
	case p.Ahead == 0:
		return fmt.Sprintf("Next in the queue of the private cloud %s; it starts as soon as the executor takes it.", cloud)
	case p.Running == "":
		return fmt.Sprintf("Position %d in the queue of the private cloud %s, where one runs at a time; none runs at this moment.", p.Ahead+1, cloud)
	case p.Ahead == 1:
		return fmt.Sprintf("Next in the queue of the private cloud %s, where one runs at a time; it waits for the end of %s.", cloud, p.Running)
	}
	return fmt.Sprintf("Position %d in the queue of the private cloud %s, where one runs at a time; %s runs now.", p.Ahead, cloud, p.Running)
}

// listExecutions writes a page step by step, so that memory is bounded by a step: parameters can be large.
func (s *Server) listExecutions(a *answer, r *request) error {
	cloud, err := s.parent(r)
	if err != nil {
		return err
	}
	out, next := newArray(a, `{"value":[`), r.URL.Query().Get("$skipToken")
	for count := 0; count < pageSize; count += pageStep {
		var page []domain.Execution
		if page, next, err = s.cfg.Store.Executions(r.Context(), cloud.ID, next, pageStep); err != nil {
			return err
		}
		for _, x := range page {
			if err := out.add(r.executionResource(x)); err != nil {
				return err
			}
		}
		if next == "" {
			return out.end("]}\n")
		}
	}
	_, _ = out.w.WriteString(`],"nextLink":`) // a failed write shows at the end
	if err := out.json.Encode(r.address(cloud.ID.String()+"/scriptExecutions", url.Values{"$skipToken": {next}})); err != nil {
		return err
	}
	return out.end("}\n")
}

// deleteExecution ends the execution, if it has not ended, and removes it with its output.
func (s *Server) deleteExecution(a *answer, r *request) error {
	cloud, err := s.parent(r)
	if err != nil {
		return err
	}
	op, existed, err := s.cfg.Store.Delete(r.Context(), cloud.ID, r.vars["scriptExecution"], s.cfg.NewID())
	if err != nil {
		return err
	}
	if !existed {
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
	r.execution = op.Execution
	a.Header().Set("Azure-AsyncOperation", r.statusAddress(cloud.ID, op.ID))
	a.Header().Set("Location", r.resultAddress(cloud.ID, op.ID))
	a.WriteHeader(http.StatusAccepted)
	return nil
}

// cancelExecution ends the execution and keeps its record: 202 while it is ending, 200 where it has ended.
func (s *Server) cancelExecution(a *answer, r *request) error {
	cloud, err := s.parent(r)
	if err != nil {
		return err
	}
	x, err := s.cfg.Store.Cancel(r.Context(), cloud.ID, r.vars["scriptExecution"])
	if err != nil {
		return err
	}
	r.execution = x.ID
	body, err := s.wholeResource(r, x)
	if err != nil {
		return err
	}
	if x.State.Final() {
		return a.send(http.StatusOK, body)
	}
	a.Header().Set("Azure-AsyncOperation", r.statusAddress(cloud.ID, x.ID))
	a.Header().Set("Location", r.resultAddress(cloud.ID, x.ID))
	return a.send(http.StatusAccepted, body)
}
