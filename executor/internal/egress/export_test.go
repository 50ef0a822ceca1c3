package egress

// ServeIdle is Serve with another idle time.
var ServeIdle = serve
