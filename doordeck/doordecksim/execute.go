package doordecksim

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"
)

const (
	soon      = 60 * time.Second // done at once up to here, queued beyond
	longest   = 14 * day         // and refused beyond this
	jwtType   = "application/jwt"
	maxShares = 25
)

// execution is one signed operation on its way through the checks.
type execution struct {
	*call
	entry   *LedgerEntry
	token   *jws
	chain   [][]byte
	key     []byte // the leaf's
	issuer  *user  // whom the leaf's key belongs to
	claims  claims
	lock    *lock
	members operation
}

// claims are those that every operation has.
type claims struct {
	iss, sub, jti string
	nbf, iat, exp float64
	operation     object
	kind          string
}

// refusal is why an operation goes no further.
type refusal struct {
	status int
	reason string
}

func refuse(status int, reason string) *refusal { return &refusal{status, reason} }

func malformed(reason string) *refusal { return refuse(http.StatusBadRequest, reason) }

func forbidden(reason string) *refusal { return refuse(http.StatusForbidden, reason) }

// step is one check. The auth token, which is the first half of the first, has been checked before.
type step struct {
	number int
	name   string
	check  func(*execution) *refusal
}

// steps are all checks in order; the first that fails answers. An operation that passes step 12 and is good for
// more than a minute is queued (13), and goes through 16 when its time comes.
func steps() []step {
	return []step{
		{1, "content type", (*execution).contentType},
		{2, "segments", (*execution).segments},
		{3, "header", (*execution).header},
		{4, "chain", (*execution).prove},
		{5, "signature", (*execution).signature},
		{6, "claims", (*execution).types},
		{7, "parties", (*execution).parties},
		{8, "times", (*execution).times},
		{9, "replay", (*execution).replay},
		{10, "access", (*execution).access},
		{11, "fields", (*execution).fields},
		{12, "people", (*execution).people},
		{13, "queue", (*execution).room},
		{14, "device", (*execution).device},
		{16, "last administrator", (*execution).lastAdmin},
	}
}

// execute decides on a signed operation.
func execute(c *call) reply {
	s := c.sim
	x := &execution{call: c, entry: &LedgerEntry{At: c.now, Lock: strings.ToLower(c.r.PathValue("id")), Caller: c.user.id}}
	answer := x.run()
	x.entry.Status = answer.status
	s.ledger.add(x.entry)
	s.o.Log.Info("operation", "type", x.entry.Operation, "lock", x.entry.Lock, "status", x.entry.Status,
		"outcome", x.entry.Outcome, "step", x.entry.Step, "reason", x.entry.Reason)
	return answer
}

func (x *execution) run() reply {
	for _, step := range steps() {
		if r := step.check(x); r != nil {
			x.entry.Outcome, x.entry.Step, x.entry.Check, x.entry.Reason = Refused, step.number, step.name, r.reason
			return fail(r.status, r.reason)
		}
		if step.number == 13 && x.later() {
			x.enqueue()
			return reply{status: http.StatusAccepted}
		}
	}
	x.sim.apply(x.lock, x.issuer, x.members, x.entry, x.now)
	return x.sim.done(x.claims.kind)
}

// done is the answer to an operation that was applied. A share that answers 200 has a body, as it once did.
func (s *Sim) done(kind string) reply {
	status := s.o.OtherStatus
	switch kind {
	case opAddUser:
		status = s.faults.shareStatus(s.o.AddStatus)
	case opBatch:
		status = s.faults.shareStatus(s.o.BatchStatus)
	}
	if status == http.StatusNoContent {
		return reply{status: status}
	}
	return reply{status: status, body: struct{}{}}
}

func (x *execution) contentType() *refusal {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || (media != jwtType && (media != plainJSON || x.sim.o.Strict)) {
		return refuse(http.StatusUnsupportedMediaType, "the content type has to be application/jwt")
	}
	return nil
}

func (x *execution) segments() *refusal {
	token, err := parseJWS(string(x.body), x.sim.o.Strict)
	if err != nil {
		return malformed(err.Error())
	}
	x.token = token
	x.entry.note(token.payload)
	return nil
}

func (x *execution) header() *refusal {
	if algorithm, _ := x.token.header.text("alg"); algorithm != "EdDSA" {
		return malformed("alg has to be EdDSA")
	}
	if kind, _ := x.token.header.text("typ"); strings.ToLower(kind) != "jwt" {
		return malformed("typ has to be JWT")
	}
	chain, err := decodeX5C(x.token.header["x5c"])
	if err != nil {
		return malformed(err.Error())
	}
	x.chain = chain
	return nil
}

func (x *execution) prove() *refusal {
	key, err := leafKey(x.chain, x.sim.roots, x.now)
	if err != nil {
		return forbidden(err.Error())
	}
	owners := x.sim.people.byKey[string(key)]
	if len(owners) == 0 {
		return forbidden("nobody has registered the leaf's key")
	}
	x.key, x.issuer = key, owners[0]
	if x.user.has(key) {
		x.issuer = x.user
	}
	return nil
}

func (x *execution) signature() *refusal {
	if err := x.token.verify("EdDSA", edwards(x.key)); err != nil {
		return forbidden(err.Error())
	}
	return nil
}

func (x *execution) types() *refusal {
	p, good := x.token.payload, true
	text := func(name string) string { v, ok := p.text(name); good = good && ok; return v }
	number := func(name string) float64 { v, ok := p.number(name); good = good && ok; return v }
	x.claims = claims{iss: text("iss"), sub: text("sub"), nbf: number("nbf"), iat: number("iat"), exp: number("exp")}
	if !good || !isUUID(x.claims.iss) || !isUUID(x.claims.sub) {
		return malformed("iss and sub have to be UUIDs, nbf, iat and exp numbers")
	}
	if _, sane := epoch(x.claims.exp); !sane {
		return malformed("exp is not a time")
	}
	var isText bool
	if x.claims.jti, isText = p.text("jti"); !isText && p.has("jti") {
		return malformed("jti has to be a string")
	}
	o, err := parseObject(p["operation"])
	if err != nil {
		return malformed("operation has to be an object")
	}
	x.claims.operation = o
	if x.claims.kind, isText = o.text("type"); !isText || !knownOperation(x.claims.kind) {
		return malformed("operation.type is not one of the five")
	}
	return nil
}

func (x *execution) parties() *refusal {
	switch {
	case strings.ToLower(x.claims.sub) != x.entry.Lock:
		return malformed("sub is not the lock in the path")
	case strings.ToLower(x.claims.iss) != x.issuer.id || x.issuer != x.user:
		return forbidden("iss, the certificate's user and the auth token's user have to be the same")
	}
	return nil
}

func (x *execution) times() *refusal {
	now, leeway := seconds(x.now), x.sim.o.Leeway.Seconds()
	c := x.claims
	switch {
	case c.nbf > now+leeway || c.iat > now+leeway:
		return forbidden("nbf or iat lies ahead")
	case c.exp <= now:
		return forbidden("it has expired")
	case c.exp <= c.nbf:
		return malformed("exp has to come after nbf")
	case c.exp > now+longest.Seconds():
		return malformed("exp lies more than 14 days ahead")
	case c.kind == opLock && !x.sim.o.QueueUnlocks && c.exp > now+soon.Seconds()+leeway:
		return malformed("an unlock has to be done within a minute")
	}
	return nil
}

// replay notes the token before anything else can fail, so that it is spent whatever comes.
func (x *execution) replay() *refusal {
	id := x.claims.jti
	if !x.token.payload.has("jti") {
		id = "signature:" + string(x.token.signature)
	}
	until, _ := epoch(x.claims.exp)
	if !x.sim.once.first(x.issuer.id, id, until, x.now) {
		return refuse(http.StatusConflict, "this jti was used before")
	}
	return nil
}

func (x *execution) access() *refusal {
	x.lock = x.sim.locks.get(x.entry.Lock)
	if x.lock == nil {
		return refuse(http.StatusNotFound, "there is no such lock")
	}
	member := x.lock.access(x.issuer.id, x.now)
	if member == nil {
		return refuse(http.StatusNotFound, "there is no such lock")
	}
	if member.Role == RoleAdmin || x.claims.kind == opLock || x.leaves() {
		return nil
	}
	return forbidden("only administrators may do this")
}

// leaves says whether somebody gives up their own access, which needs no role.
func (x *execution) leaves() bool {
	var users []string
	return x.claims.kind == opRemove && json.Unmarshal(x.claims.operation["users"], &users) == nil &&
		len(users) == 1 && strings.ToLower(users[0]) == x.issuer.id
}

func (x *execution) fields() *refusal {
	var err error
	if x.members, err = readOperation(x.claims.kind, x.claims.operation, x.lock); err != nil {
		return malformed(err.Error())
	}
	x.entry.Targets = x.members.targets()
	return nil
}

func (x *execution) people() *refusal {
	for _, p := range x.members.people {
		u := x.sim.people.get(p.user)
		if u == nil {
			return refuse(http.StatusNotFound, "nobody has the id "+p.user)
		}
		if x.claims.kind != opRemove && !sameKey(p.publicKey, u.publicKey) {
			return malformed("publicKey is not the directory's for " + p.user)
		}
	}
	return nil
}

func (x *execution) later() bool { return x.claims.exp > seconds(x.now.Add(soon)) }

func (x *execution) room() *refusal {
	if x.later() && len(x.sim.queue) >= maxQueued {
		return refuse(http.StatusServiceUnavailable, "too many operations are queued")
	}
	return nil
}

func (x *execution) device() *refusal {
	switch {
	case x.lock.Offline:
		return refuse(http.StatusServiceUnavailable, "the device is offline")
	case x.lock.Hanging:
		return refuse(http.StatusGatewayTimeout, "the device did not answer")
	}
	return nil
}

func (x *execution) lastAdmin() *refusal {
	if x.sim.o.KeepLastAdmin && x.lock.losesAdmins(x.members) {
		return refuse(http.StatusConflict, "this would leave the lock without an administrator")
	}
	return nil
}
