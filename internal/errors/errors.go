// Package errors has the errors that users see: a code from one closed table (codes.go), one sentence that says what
// is wrong and what to do, and a cause that only the log shows.
//
// An error that is not of this package reaches a user as InternalError with an id to be found in the log.
package errors

import (
	"errors"
	"fmt"
)

// Error is an error for a user. Message holds no secret and ends with a full stop.
type Error struct {
	Code    Code
	Message string
	Target  string // the part of the input that is meant, "" for none
	cause   error
}

// Error returns code, message and cause: the form for logs.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.cause != nil {
		s += " (" + e.cause.Error() + ")"
	}
	return s
}

// Unwrap returns the hidden cause.
func (e *Error) Unwrap() error { return e.cause }

// Newf makes an error for a user.
func Newf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Because makes an error for a user with a cause that only the log shows.
func Because(cause error, code Code, format string, args ...any) *Error {
	e := Newf(code, format, args...)
	e.cause = cause
	return e
}

// At names the part of the input that is meant.
func (e *Error) At(target string) *Error {
	e.Target = target
	return e
}

// For finds the error for the user in err's tree. Where there is none, it is an InternalError whose message names
// the id under which the log has err.
func For(err error, id string) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Because(err, InternalError, "Something went wrong inside Airlock; the server's log says more under the id %s.", id)
}

// CodeOf is the code of err: "" for nil, InternalError for one that is not of this package.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return InternalError
}

// Has says whether err carries the code.
func Has(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// These are the standard library's, so that no file needs both packages.

// New returns a plain error, one that a user never sees as it is.
func New(text string) error { return errors.New(text) }

// Is is errors.Is of the standard library.
func Is(err, target error) bool { return errors.Is(err, target) }

// As is errors.As of the standard library.
func As(err error, target any) bool { return errors.As(err, target) }

// AsType is errors.AsType of the standard library.
func AsType[E error](err error) (E, bool) { return errors.AsType[E](err) }

// Join is errors.Join of the standard library.
func Join(errs ...error) error { return errors.Join(errs...) }
