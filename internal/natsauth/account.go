package natsauth

import (
	"time"

	"github.com/nats-io/jwt/v2"
)

// What all connections of one credential may take together. An app has a few replicas.
const (
	maxConnections   = 64
	maxSubscriptions = 4096
	maxPayload       = 1 << 20
)

// account is the credential's NATS account: what it imports, and what its user may do.
func (c *Credential) account() *jwt.AccountClaims {
	a := jwt.NewAccountClaims(c.Account)
	a.Name = appsName + "/" + c.Name
	a.Limits.Conn, a.Limits.Subs, a.Limits.Payload = maxConnections, maxSubscriptions, maxPayload
	a.Limits.LeafNodeConn, a.Limits.Exports = 0, 0
	a.Limits.DisallowBearer = true
	for _, subject := range c.Hears() {
		a.Imports.Add(&jwt.Import{Account: gatehouseID, Subject: jwt.Subject(subject), Type: jwt.Stream})
	}
	for local, exported := range c.services() {
		a.Imports.Add(&jwt.Import{
			Account: gatehouseID, Subject: jwt.Subject(exported), LocalSubject: jwt.RenamingSubject(local), Type: jwt.Service,
		})
		a.DefaultPermissions.Pub.Allow.Add(local)
	}
	if len(a.DefaultPermissions.Pub.Allow) == 0 {
		a.DefaultPermissions.Pub.Deny.Add(">") // an empty list would allow everything
	}
	a.DefaultPermissions.Sub.Allow.Add(c.Hears()...)
	a.DefaultPermissions.Sub.Allow.Add(c.inbox())
	return a
}

// services maps the subjects that the credential publishes to on those that the gateway's account exports.
func (c *Credential) services() map[string]string {
	s := map[string]string{}
	for _, subject := range c.Asks() {
		s[subject] = subject
	}
	if c.Durable {
		s[APIPrefix+"."+nextOf(c.Name)] = "$JS.API." + nextOf(c.Name)
		s[APIPrefix+"."+infoOf(c.Name)] = "$JS.API." + infoOf(c.Name)
		s[ackOf(c.Name)] = ackOf(c.Name)
	}
	return s
}

// revoked is the account with nobody left in it.
func (c *Credential) revoked() *jwt.AccountClaims {
	a := jwt.NewAccountClaims(c.Account)
	a.Name = appsName + "/" + c.Name
	// Whatever its user was issued at, and should the clock go back.
	a.RevokeAt(jwt.All, c.ExpiresAt.Add(24*time.Hour))
	a.DefaultPermissions.Pub.Deny.Add(">")
	a.DefaultPermissions.Sub.Deny.Add(">")
	return a
}
