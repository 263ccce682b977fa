// Package natsauth decides who may do what on the embedded NATS server, and mints the credentials.
//
// Every credential has a NATS account of its own, called APPS/NAME, which imports from the gateway's
// account, GATEHOUSE, exactly what the credential names: events as subjects, asks and commands as services,
// and of JetStream the next, info and ack of its own consumer. What an account does not import does not
// exist for it, whatever it publishes, subscribes to or names as a reply subject; the user's permissions say
// the same once more. The accounts are not shared, because a service's answer is delivered to whatever
// reply subject the request names: in a shared account an app that may only ask could have the gateway's
// answer delivered to another app as an event.
//
// No private key is kept, here or anywhere. The operator and the gateway's own user are made anew at each
// start, since nothing outside of this process relies on them. An account's key signs one user when the
// credential is minted and is forgotten; the user's own key leaves in the file and is forgotten. The
// database holds public keys and what they may do.
//
// Table: nats_credentials. A row is the truth: with it the credential exists, without it the server does
// not know its account. On a crash at any moment the row is there or not; what hangs on it, the durable
// consumer, is brought in line at the next start and every half minute. A crash between the commit and the
// answer leaves a credential whose file nobody has; it is listed and can be revoked.
package natsauth
