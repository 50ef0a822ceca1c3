package sessions

import "github.com/airlock-run/airlock/sessions/internal/vcproxy"

// Privileges are those that a check asks for.
var Privileges = vcproxy.Privileges
