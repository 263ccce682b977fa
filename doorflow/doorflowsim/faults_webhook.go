package doorflowsim

import "time"

// Duplicate sends the next n webhooks twice, at the same time and with the same ack tokens.
func (f *Faults) Duplicate(n int) { f.set(func() { f.dup = times(n) }) }

// Reorder holds the next n webhooks back and then sends them one after another, the last one first.
func (f *Faults) Reorder(n int) { f.set(func() { f.reorder = n }) }

// Batch holds the next items back until there are n, of whatever accounts, and sends them as one request.
func (f *Faults) Batch(n int) { f.set(func() { f.batch = n }) }

// StaleTimestamp signs the next n attempts correctly, for a time that long ago. A negative age is the future.
func (f *Faults) StaleTimestamp(n int, age time.Duration) {
	f.set(func() { f.stale, f.staleAge = times(n), age })
}

// WrongKey signs the next n attempts with another key.
func (f *Faults) WrongKey(n int) { f.set(func() { f.wrongKey = times(n) }) }

// UpperHex writes the signature of the next n attempts in upper case.
func (f *Faults) UpperHex(n int) { f.set(func() { f.upperHex = times(n) }) }

// DropHeader leaves a header out of the next n attempts.
func (f *Faults) DropHeader(n int, name string) {
	f.set(func() { f.dropHeader, f.headerName = times(n), name })
}

// EscapeAmpersand writes & as \u0026 in the next n bodies, as Rails may, and adds a callback parameter so
// that there is one.
func (f *Faults) EscapeAmpersand(n int) { f.set(func() { f.escape = times(n) }) }

// SingleObject sends the next n bodies that have one item as an object instead of an array.
func (f *Faults) SingleObject(n int) { f.set(func() { f.single = times(n) }) }

// ForeignHost lets the resources of the next n bodies point at another host.
func (f *Faults) ForeignHost(n int, host string) {
	f.set(func() { f.foreignHost, f.foreignHostName = times(n), host })
}

// UnknownType gives the items of the next n bodies another resource_type.
func (f *Faults) UnknownType(n int, resourceType string) {
	f.set(func() { f.unknownType, f.unknownTypeName = times(n), resourceType })
}

// Destroy says DESTROY in the next n bodies; fetching their resources with the ack_token answers 404.
func (f *Faults) Destroy(n int) { f.set(func() { f.destroy = times(n) }) }

func (f *Faults) duplicate() bool { return f.takes(&f.dup) }

func (f *Faults) batchSize() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.batch
}

func (f *Faults) batchDone() { f.set(func() { f.batch = 0 }) }

func (f *Faults) reorderSize() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reorder
}

func (f *Faults) reorderDone() { f.set(func() { f.reorder = 0 }) }

// signingFaults apply to one attempt.
type signingFaults struct {
	age                time.Duration
	wrongKey, upperHex bool
	drop               string
}

func (f *Faults) forSigning() (s signingFaults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale.take() {
		s.age = f.staleAge
	}
	if f.dropHeader.take() {
		s.drop = f.headerName
	}
	s.wrongKey, s.upperHex = f.wrongKey.take(), f.upperHex.take()
	return s
}

// bodyFaults apply to one delivery, with its retries.
type bodyFaults struct {
	escape, single, destroy  bool
	foreignHost, unknownType string
}

func (f *Faults) forBody() (b bodyFaults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.foreignHost.take() {
		b.foreignHost = f.foreignHostName
	}
	if f.unknownType.take() {
		b.unknownType = f.unknownTypeName
	}
	b.escape, b.single, b.destroy = f.escape.take(), f.single.take(), f.destroy.take()
	return b
}
