package doordecksim

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
)

func (x *execution) contentType() *refusal {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || (media != jwtType && (media != plainJSON || x.sim.o.Strict)) {
		return refuse(http.StatusUnsupportedMediaType, "the content type has to be application/jwt")
	}
	return nil
}

func (x *execution) segments() *refusal {
	jwt, err := parseJWS(string(x.body), x.sim.o.Strict)
	if err != nil {
		return malformed(err.Error())
	}
	x.jwt = jwt
	x.entry.note(jwt.payload)
	return nil
}

func (x *execution) header() *refusal {
	if algorithm, _ := x.jwt.header.text("alg"); algorithm != "EdDSA" {
		return malformed("alg has to be EdDSA")
	}
	if kind, _ := x.jwt.header.text("typ"); !strings.EqualFold(kind, "jwt") {
		return malformed("typ has to be JWT")
	}
	chain, err := decodeX5C(x.jwt.header["x5c"])
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
	if err := x.jwt.verify("EdDSA", x.key); err != nil {
		return forbidden(err.Error())
	}
	return nil
}

func (x *execution) types() *refusal {
	p, good := x.jwt.payload, true
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
	case !strings.EqualFold(x.claims.sub, x.entry.Lock):
		return malformed("sub is not the lock in the path")
	case !strings.EqualFold(x.claims.iss, x.issuer.id) || x.issuer != x.user:
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
	if !x.jwt.payload.has("jti") {
		id = "signature:" + string(x.jwt.signature)
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
		len(users) == 1 && strings.EqualFold(users[0], x.issuer.id)
}

func (x *execution) fields() *refusal {
	var err error
	if x.op, err = readOperation(x.claims.kind, x.claims.operation, x.lock); err != nil {
		return malformed(err.Error())
	}
	x.entry.Targets = x.op.targets()
	return nil
}

func (x *execution) people() *refusal {
	for _, p := range x.op.people {
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
	if x.sim.o.KeepLastAdmin && x.lock.losesAdmins(x.op) {
		return refuse(http.StatusConflict, "this would leave the lock without an administrator")
	}
	return nil
}
