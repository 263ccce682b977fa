package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"gatehouse/sharing"
)

// administrators makes two identities. Doordeck takes Ada's first key at once; of Ben it knows one already, and
// wants the new one proven.
func (d *demo) administrators(ctx context.Context) error {
	if err := d.identity(ctx, ada, adaSubject, "Ada Achterberg", sharing.StatusReady); err != nil {
		return err
	}
	d.tell("The gateway makes a key to sign for Ada Achterberg. Doordeck takes it at once: ready.")
	if err := d.identity(ctx, ben, benSubject, "Ben Brannigan", sharing.StatusVerification); err != nil {
		return err
	}
	if d.doordeck.Stats().Answers[http.StatusLocked] == 0 {
		return errors.New("the gateway wants a code of Ben, although Doordeck never answered 423")
	}
	d.tell("One for Ben Brannigan, too. He has another on his telephone; Doordeck answers 423: prove it.")
	var i sharing.Identity
	if err := d.api.do(ctx, http.MethodPost, identityPath(ben, "/verify"), nil, map[string]string{"method": "EMAIL"}, &i); err != nil {
		return fmt.Errorf("having a code sent to Ben: %w", err)
	}
	code := d.doordeck.Code(benSubject)
	if code == "" {
		return errors.New("no code was sent to Ben, although the gateway says so")
	}
	d.tell("Doordeck mails him a code: %s.", code)
	if err := d.api.do(ctx, http.MethodPost, identityPath(ben, "/check"), nil, map[string]string{"code": code}, &i); err != nil {
		return fmt.Errorf("entering Ben's code: %w", err)
	}
	if i.Status != sharing.StatusReady {
		return fmt.Errorf("the code is entered, and Ben is %s: %s", i.Status, i.Detail)
	}
	ctx, stop := d.within(ctx, "NATS was to say that Ben is ready")
	defer stop()
	_, err := d.desk.ear.first(ctx, func(h heard) bool { return strings.HasSuffix(h.On, "."+ben+"."+sharing.StatusReady) })
	if err != nil {
		return err
	}
	d.tell("The code is entered, and proves the new key: ready.")
	return nil
}

// identity makes one and has it registered, as gatehouse identities create does.
func (d *demo) identity(ctx context.Context, name, subject, display, want string) error {
	in := sharing.IdentityRequest{Name: name, Subject: subject, Email: subject + "@example.test", EmailVerified: true, DisplayName: display}
	var made sharing.Identity
	if err := d.api.do(ctx, http.MethodPost, "/v1/identities", nil, in, &made); err != nil {
		return fmt.Errorf("making the identity %s: %w", name, err)
	}
	if err := d.api.do(ctx, http.MethodPost, identityPath(name, "/register"), nil, struct{}{}, &made); err != nil {
		return fmt.Errorf("registering the identity %s: %w", name, err)
	}
	if made.Status != want {
		return fmt.Errorf("the identity %s is %s, not %s: %s", name, made.Status, want, orDash(made.Detail))
	}
	return nil
}
