package web

import "sync"

// places counts what is in use at once, by everybody and by each.
type places[K comparable] struct {
	total int

	mu   sync.Mutex
	all  int
	used map[K]int
}

func newPlaces[K comparable](total int) *places[K] {
	return &places[K]{total: total, used: map[K]int{}}
}

// take takes a place for somebody who may have so many, if there is one, and tells how many are left.
func (p *places[K]) take(k K, each int) (left int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left = min(each-p.used[k], p.total-p.all) - 1
	if left < 0 {
		return 0, false
	}
	p.all++
	p.used[k]++
	return left, true
}

// leave gives a place back.
func (p *places[K]) leave(k K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.used[k]--; p.used[k] == 0 {
		delete(p.used, k)
	}
}
