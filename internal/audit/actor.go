package audit

import "context"

// Kind says what an actor is, so that no API key can be named to look like something else.
type Kind string

const (
	// KindKey is an API key.
	KindKey Kind = "key"
	// KindBrowser is a person in a browser of whom nothing is known but the address.
	KindBrowser Kind = "browser"
	// KindNATS is the name in NATS credentials.
	KindNATS Kind = "nats"
	// KindLocal is a command on the gateway's own machine, which opened the data directory itself.
	KindLocal Kind = "local"
	// KindGateway is the gateway of its own accord.
	KindGateway Kind = "gateway"
	// KindUnknown is what an entry says when nobody said who acted.
	KindUnknown Kind = "unknown"
)

// Actor is who does something, and from where.
type Actor struct {
	Kind Kind
	Name string
	// KeyID is the API key's id. A name may be given again, an id not.
	KeyID string
	// Remote is the address that the request came from, as far as the trusted proxies tell.
	Remote    string
	RequestID string
}

type actorKey struct{}

// WithActor returns a context that carries the actor.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor that a context carries, or one of KindUnknown. Beware of changes that run in
// a transaction with a context of its own: the actor must be taken from the request's.
func ActorFrom(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Kind: KindUnknown}
}
