package errors

import "net/http"

// Code names a kind of failure, as ARM's error.code and an execution's failure code. The table below is closed: a
// code that is not in it does not exist.
type Code string

// Exit is an exit code of the command line.
type Exit int

// Exit codes by kind of failure.
const (
	ExitUsage       Exit = 2
	ExitNotFound    Exit = 3
	ExitRefused     Exit = 4
	ExitConflict    Exit = 5
	ExitScript      Exit = 6
	ExitTimeout     Exit = 7 // timed out or canceled
	ExitUnreachable Exit = 8
	ExitInternal    Exit = 9
)

// What a request can be answered with.
const (
	InvalidRequest             Code = "InvalidRequest"
	InvalidResourceName        Code = "InvalidResourceName"
	InvalidRequestContent      Code = "InvalidRequestContent"
	InvalidParameter           Code = "InvalidParameter"
	InvalidTimeout             Code = "InvalidTimeout"
	InvalidPackage             Code = "InvalidPackage"
	MissingAPIVersionParameter Code = "MissingApiVersionParameter"
	InvalidAPIVersionParameter Code = "InvalidApiVersionParameter"
	RequestEntityTooLarge      Code = "RequestEntityTooLarge"
	MethodNotAllowed           Code = "MethodNotAllowed"
	AuthenticationFailed       Code = "AuthenticationFailed"
	AuthorizationFailed        Code = "AuthorizationFailed"
	ResourceNotFound           Code = "ResourceNotFound"
	ParentResourceNotFound     Code = "ParentResourceNotFound"
	Conflict                   Code = "Conflict"
	RoleAssignmentExists       Code = "RoleAssignmentExists" // az takes it for a success
	TooManyRequests            Code = "TooManyRequests"
	ServiceUnavailable         Code = "ServiceUnavailable"
	InternalError              Code = "InternalError"
)

// What an execution can fail with.
const (
	ScriptFailed         Code = "ScriptFailed"
	ScriptTimedOut       Code = "ScriptTimedOut"
	ScriptCanceled       Code = "ScriptCanceled"
	PreparationTimedOut  Code = "PreparationTimedOut"
	ExecutorLost         Code = "ExecutorLost"
	PrivateCloudUpdating Code = "PrivateCloudUpdating"
	SessionFailed        Code = "SessionFailed"
	SecretStoreFailed    Code = "SecretStoreFailed"
	SecretNameInvalid    Code = "SecretNameInvalid"
	NamedOutputsTooLarge Code = "NamedOutputsTooLarge"
	OutputTooLarge       Code = "OutputTooLarge"
	WorkDirectoryFull    Code = "WorkDirectoryFull"
	OutOfMemory          Code = "OutOfMemory"
	PackageNotAllowed    Code = "PackageNotAllowed"
	ScriptRuntimeMissing Code = "ScriptRuntimeMissing"
)

// What only the command line says.
const (
	Usage             Code = "Usage"
	ServerUnreachable Code = "ServerUnreachable"
)

var table = map[Code]struct {
	status int // of an HTTP answer; 0 for a code that is only ever part of a resource or of the command line
	exit   Exit
}{
	InvalidRequest:             {http.StatusBadRequest, ExitUsage},
	InvalidResourceName:        {http.StatusBadRequest, ExitUsage},
	InvalidRequestContent:      {http.StatusBadRequest, ExitUsage},
	InvalidParameter:           {http.StatusBadRequest, ExitUsage},
	InvalidTimeout:             {http.StatusBadRequest, ExitUsage},
	InvalidPackage:             {http.StatusBadRequest, ExitUsage},
	MissingAPIVersionParameter: {http.StatusBadRequest, ExitUsage},
	InvalidAPIVersionParameter: {http.StatusBadRequest, ExitUsage},
	RequestEntityTooLarge:      {http.StatusRequestEntityTooLarge, ExitUsage},
	MethodNotAllowed:           {http.StatusMethodNotAllowed, ExitUsage},
	AuthenticationFailed:       {http.StatusUnauthorized, ExitRefused},
	AuthorizationFailed:        {http.StatusForbidden, ExitRefused},
	ResourceNotFound:           {http.StatusNotFound, ExitNotFound},
	ParentResourceNotFound:     {http.StatusNotFound, ExitNotFound},
	Conflict:                   {http.StatusConflict, ExitConflict},
	RoleAssignmentExists:       {http.StatusConflict, ExitConflict},
	TooManyRequests:            {http.StatusTooManyRequests, ExitConflict},
	ServiceUnavailable:         {http.StatusServiceUnavailable, ExitUnreachable},
	InternalError:              {http.StatusInternalServerError, ExitInternal},

	ScriptFailed:         {0, ExitScript},
	ScriptTimedOut:       {0, ExitTimeout},
	ScriptCanceled:       {0, ExitTimeout},
	PreparationTimedOut:  {0, ExitTimeout},
	ExecutorLost:         {0, ExitScript},
	PrivateCloudUpdating: {0, ExitConflict},
	SessionFailed:        {0, ExitScript},
	SecretStoreFailed:    {http.StatusServiceUnavailable, ExitScript},
	SecretNameInvalid:    {0, ExitScript},
	NamedOutputsTooLarge: {0, ExitScript},
	OutputTooLarge:       {0, ExitScript},
	WorkDirectoryFull:    {0, ExitScript},
	OutOfMemory:          {0, ExitScript},
	PackageNotAllowed:    {http.StatusForbidden, ExitRefused},
	ScriptRuntimeMissing: {0, ExitScript},

	Usage:             {0, ExitUsage},
	ServerUnreachable: {0, ExitUnreachable},
}

// Known says whether the code is in the table.
func (c Code) Known() bool { _, ok := table[c]; return ok }

// HTTPStatus is the status of an answer that carries the code: 500 for one that no answer should carry.
func (c Code) HTTPStatus() int {
	if s := table[c].status; s != 0 {
		return s
	}
	return http.StatusInternalServerError
}

// Exit is the exit code of a command that ends with the code.
func (c Code) Exit() Exit {
	if e, ok := table[c]; ok {
		return e.exit
	}
	return ExitInternal
}
