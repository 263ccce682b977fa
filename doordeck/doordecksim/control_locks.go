package doordecksim

import (
	"cmp"
	"net/http"
	"time"
)

// controlLock registers a lock. Its users are added one by one afterwards.
func (s *Sim) controlLock(w http.ResponseWriter, r *http.Request) {
	var in Lock
	if read(w, r, &in) {
		settled(w, in, s.AddLock(in))
	}
}

// controlLockView shows who has access to a lock, or what happened there.
func (s *Sim) controlLockView(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	var known bool
	s.locked(func() { known = s.locks.get(id) != nil })
	switch what := r.PathValue("what"); {
	case known && what == "users":
		ok(append([]Member{}, s.Users(id)...)).write(w, plainJSON)
	case known && what == "audit":
		ok(append([]Audit{}, s.Audit(id)...)).write(w, plainJSON)
	default:
		notFound("there is no such lock, or nothing of this name").write(w, plainJSON)
	}
}

// controlLockChange connects and disconnects a lock, lets it hang, and changes its capabilities.
func (s *Sim) controlLockChange(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Online       *bool             `json:"online"`
		Hanging      *bool             `json:"hanging"`
		Capabilities map[string]string `json:"capabilities"` // "" takes one away
	}
	if !read(w, r, &in) {
		return
	}
	id := r.PathValue("id")
	err := s.change(id, func(*lock) error { return nil })
	if err == nil && in.Online != nil {
		err = s.SetOnline(id, *in.Online)
	}
	if err == nil && in.Hanging != nil {
		err = s.SetHanging(id, *in.Hanging)
	}
	for name, value := range in.Capabilities {
		err = cmp.Or(err, s.SetCapability(id, name, value))
	}
	settled(w, struct{}{}, err)
}

// controlAccess gives somebody access without an operation.
func (s *Sim) controlAccess(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User       string `json:"user"` // id or subject
		Role       Role   `json:"role"`
		Start, End time.Time
		Remove     bool `json:"remove"`
	}
	if !read(w, r, &in) {
		return
	}
	id := r.PathValue("id")
	if in.Remove {
		settled(w, struct{}{}, s.RemoveAccess(id, in.User))
		return
	}
	settled(w, struct{}{}, s.SetAccess(id, Member{User: in.User, Role: in.Role, Start: in.Start, End: in.End}))
}
