package server

// Route is what the tests are to know of a line of the table of routes.
type Route struct {
	Method, Pattern, Action string
	Public, Open            bool
}

// Routes is the table of routes that requests are served from.
func (s *Server) Routes() (all []Route) {
	for _, r := range s.routes {
		all = append(all, Route{r.method, r.pattern, r.action, r.public, r.open})
	}
	return all
}
