package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const assignmentColumns = `id, scope, role, principal, principal_type, created, created_by`

func scanAssignment(r scanner) (a domain.Assignment, err error) {
	err = r.Scan(&a.ID, &a.Scope, &a.Role, &a.Principal.ID, &a.Principal.Type, asMicros{&a.Created}, &a.CreatedBy)
	return a, err
}

func assignmentByID(v view, id string) (domain.Assignment, error) {
	return scanAssignment(v.row(`SELECT `+assignmentColumns+` FROM role_assignments WHERE id = $1`, strings.ToLower(id)))
}

// PutAssignment assigns a role. The same assignment again changes nothing and is not created; an id that another
// assignment has is a Conflict, and the same role for the same principal at the same scope under another id is
// RoleAssignmentExists. That the private cloud of a scope exists is checked in the same transaction.
func (s *Store) PutAssignment(ctx context.Context, a domain.Assignment) (stored domain.Assignment, created bool, err error) {
	a.ID, a.Role = strings.ToLower(a.ID), strings.ToLower(a.Role)
	err = s.write(ctx, func(t *tx) error {
		had, err := assignmentByID(t.view, a.ID)
		switch {
		case err == nil && had.Scope.Key() == a.Scope.Key() && had.Role == a.Role && had.Principal == a.Principal:
			stored, created = had, false
			return nil
		case err == nil:
			return errors.Newf(errors.Conflict, "The role assignment %s is another one; a role assignment cannot be changed, delete it or take another id.", a.ID)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if id, err := domain.ParseCloudID(string(a.Scope)); err == nil {
			if _, err := cloudByID(t.view, id); err != nil {
				return err
			}
		}
		n, err := t.exec(`INSERT INTO role_assignments (id, scope, scope_key, role, principal, principal_type, created, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (scope_key, role, principal, principal_type) DO NOTHING`,
			a.ID, a.Scope, a.Scope.Key(), a.Role, a.Principal.ID, a.Principal.Type, asMicros{&a.Created}, a.CreatedBy)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.Newf(errors.RoleAssignmentExists, "The role assignment already exists: %s has this role at %s.", a.Principal.ID, a.Scope)
		}
		stored, err = assignmentByID(t.view, a.ID)
		created = true
		return err
	})
	return stored, created && err == nil, err
}

// Assignment reads a role assignment; one that is not there is ResourceNotFound.
func (s *Store) Assignment(ctx context.Context, id string) (domain.Assignment, error) {
	return read(ctx, s, func(v view) (domain.Assignment, error) {
		a, err := assignmentByID(v, id)
		if errors.Is(err, sql.ErrNoRows) {
			err = errors.Newf(errors.ResourceNotFound, "There is no role assignment %s here; list the role assignments of the scope to see which there are.", id)
		}
		return a, err
	})
}

// DeleteAssignment removes a role assignment, if it is there still. With keepLast, the last one of its role at its scope
// is a Conflict and stays.
func (s *Store) DeleteAssignment(ctx context.Context, id string, keepLast bool) error {
	return s.write(ctx, func(t *tx) error {
		a, err := assignmentByID(t.view, id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var others int
		err = t.row(`SELECT count(*) FROM role_assignments WHERE scope_key = $1 AND role = $2 AND id <> $3`, a.Scope.Key(), a.Role, a.ID).Scan(&others)
		if err != nil {
			return err
		}
		if keepLast && others == 0 {
			return errors.Newf(errors.Conflict, "The role assignment %s is the last of its role at %s and stays: nobody could assign the role again. Assign it to somebody else first.", a.ID, a.Scope)
		}
		_, err = t.exec(`DELETE FROM role_assignments WHERE id = $1`, a.ID)
		return err
	})
}

// Assignments lists the role assignments that have to do with a scope: those at it, above it and below it, from above
// to below.
func (s *Store) Assignments(ctx context.Context, at domain.Scope) ([]domain.Assignment, error) {
	return read(ctx, s, func(v view) ([]domain.Assignment, error) {
		keys := at.CoveredBy()
		args := []any{at.Key() + "/", at.Key() + "0"} // 0 is next to /
		for _, k := range keys {
			args = append(args, k)
		}
		return list(v, scanAssignment, `SELECT `+assignmentColumns+` FROM role_assignments
			WHERE (scope_key >= $1 AND scope_key < $2) OR scope_key IN (`+places(3, len(keys))+`) ORDER BY scope_key, created, id`, args...)
	})
}

// places are the places of n arguments: $from, $from+1, …
func places(from, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(all, ", ")
}

// maxAsked is how many principals one query asks for.
const maxAsked = 64

// AssignmentsOf lists the role assignments of the principals, at all scopes, in no order.
func (s *Store) AssignmentsOf(ctx context.Context, principals []domain.Principal) ([]domain.Assignment, error) {
	return read(ctx, s, func(v view) (all []domain.Assignment, err error) {
		for len(principals) > 0 && err == nil {
			now := principals[:min(len(principals), maxAsked)]
			principals = principals[len(now):]
			n := 1
			if len(now) > 1 {
				n = maxAsked // two statements are enough for everybody
			}
			args := make([]any, n)
			for i := range args {
				args[i] = now[min(i, len(now)-1)].ID
			}
			var some []domain.Assignment
			some, err = list(v, scanAssignment, `SELECT `+assignmentColumns+` FROM role_assignments WHERE principal IN (`+places(1, n)+`)`, args...)
			all = append(all, some...)
		}
		return all, err
	})
}
