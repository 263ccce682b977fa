package web

import "time"

// recent is a map that forgets what was not looked up for a while, and when there is too much, what was
// looked up longest ago. So strangers cannot make it grow. It holds two generations: the older one is
// dropped when the younger is full or has had its time. Whoever uses it brings a lock.
type recent[K comparable, V any] struct {
	most int           // entries of a generation
	span time.Duration // an entry lives for one to two of these after its last use

	young, old map[K]V
	turned     time.Time
}

// get returns what is kept for a key, the zero value for what is not, and keeps it longer.
func (r *recent[K, V]) get(k K, now time.Time) (v V, ok bool) {
	r.turn(now)
	if v, ok = r.young[k]; ok {
		return v, true
	}
	if v, ok = r.old[k]; ok {
		r.put(k, v, now)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V, now time.Time) {
	r.turn(now)
	if _, known := r.young[k]; !known && len(r.young) >= r.most {
		r.old, r.young, r.turned = r.young, map[K]V{}, now
	}
	r.young[k] = v
}

func (r *recent[K, V]) turn(now time.Time) {
	switch age := now.Sub(r.turned); {
	case r.young == nil || age >= 2*r.span:
		r.old, r.young, r.turned = nil, map[K]V{}, now
	case age >= r.span:
		r.old, r.young, r.turned = r.young, map[K]V{}, now
	}
}

func (r *recent[K, V]) len() int { return len(r.young) + len(r.old) }
