package passthrough

import "time"

// MaxAnswer is the most that an answer may have.
const MaxAnswer = maxAnswer

// SetWithin shortens the time that an exchange may take.
func (h *Handlers) SetWithin(d time.Duration) { h.within = d }
