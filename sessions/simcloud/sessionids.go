package simcloud

import (
	"crypto/rand"
	"sync"
)

// sessionIDs has, for each live session of vcsim, the id that the client got in its place. vcsim's own id of a SOAP
// session is UserSession.Key, which everybody logged in can see.
type sessionIDs struct {
	census *census

	mu     sync.Mutex
	real   map[string]string // by the client's id
	client map[string]string // by vcsim's id
}

func newSessionIDs(c *census) *sessionIDs {
	return &sessionIDs{census: c, real: map[string]string{}, client: map[string]string{}}
}

// add makes the client's id for a new session of vcsim.
func (s *sessionIDs) add(real string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.client[real]; ok {
		return id
	}
	id := rand.Text()
	s.client[real], s.real[id] = id, real
	s.census.add(1, 0)
	return id
}

// lookup returns vcsim's id, or "" for one that was never given out or has ended.
func (s *sessionIDs) lookup(client string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.real[client]
}

// live says whether real is vcsim's id of a live session.
func (s *sessionIDs) live(real string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.client[real]
	return ok
}

// remove ends a session's id.
func (s *sessionIDs) remove(real string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.client[real]; ok {
		delete(s.client, real)
		delete(s.real, id)
		s.census.add(-1, 0)
	}
}

// clear ends the ids of all sessions.
func (s *sessionIDs) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.census.add(-len(s.real), 0)
	clear(s.real)
	clear(s.client)
}
