package sharing

import "sync"

// slots bound how much is worked on at one time, in all and for one caller, so that nobody takes them all.
type slots struct {
	most, each int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

func newSlots(most, each int) *slots { return &slots{most: most, each: each, by: map[string]int{}} }

// take tells whether the caller gets one; whoever does gives it back with free.
func (s *slots) take(caller string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.most || s.by[caller] >= s.each {
		return false
	}
	s.taken++
	s.by[caller]++
	return true
}

func (s *slots) free(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.by[caller]--; s.by[caller] == 0 {
		delete(s.by, caller)
	}
}
