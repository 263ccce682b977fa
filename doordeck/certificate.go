package doordeck

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// Method is how a verification code reaches a person.
type Method string

// The methods Doordeck offers. Each needs the contact in the auth token, marked as verified.
const (
	Email     Method = "EMAIL"
	SMS       Method = "SMS"
	Telephone Method = "TELEPHONE"
)

// Registration is a registered key: who it signs for, and the chain that proves it.
type Registration struct {
	UserID UserID
	Chain  Chain
}

type keyBody struct {
	EphemeralKey string `json:"ephemeralKey"`
}

type signatureBody struct {
	VerificationSignature string `json:"verificationSignature"`
}

// Register registers a key for the token's user, or renews the chain of one that is. A user who has another
// key already gets Locked: then Verify has a code sent and Check brings the chain.
func (c *Client) Register(ctx context.Context, token Token, key EphemeralKey) (Registration, error) {
	if key.IsZero() {
		return Registration{}, errNoKey
	}
	return c.registration(ctx, token, key, "/auth/certificate", keyBody{key.PublicKey()})
}

// Verify has a code sent for a key that Register found Locked. It is good for five minutes. An empty method
// leaves the choice to Doordeck: a verified contact, e-mail before SMS. The result is the method that was
// used, empty where Doordeck does not say. TooMany means that codes sent before are still open.
func (c *Client) Verify(ctx context.Context, token Token, key EphemeralKey, method Method) (Method, error) {
	if key.IsZero() {
		return "", errNoKey
	}
	var query url.Values
	switch method {
	case Email, SMS, Telephone:
		query = url.Values{"method": {string(method)}}
	case "":
	default:
		return "", errors.New("the method must be EMAIL, SMS or TELEPHONE")
	}
	answer := struct {
		Method Method `json:"method"`
	}{method}
	err := c.ask(ctx, request{
		method: http.MethodPost, path: "/auth/certificate/verify", query: query, token: token, accept: version1,
		contentType: "application/json", body: encode(keyBody{key.PublicKey()}), mayBeEmpty: true,
	}, &answer)
	if err != nil {
		return "", err
	}
	return answer.Method, nil
}

// Check proves a key with the code that its user got. Forbidden means that the code is wrong or expired.
func (c *Client) Check(ctx context.Context, token Token, key EphemeralKey, code string) (Registration, error) {
	signature, err := key.SignCode(code)
	if err != nil {
		return Registration{}, err
	}
	return c.registration(ctx, token, key, "/auth/certificate/check", signatureBody{signature}, signature, code)
}

func (c *Client) registration(ctx context.Context, token Token, key EphemeralKey, path string, body any, secrets ...string) (Registration, error) {
	var answer struct {
		CertificateChain []string `json:"certificateChain"`
		UserID           UserID   `json:"userId"`
	}
	if err := c.post(ctx, token, path, version1, body, &answer, secrets...); err != nil {
		return Registration{}, err
	}
	chain, err := ParseChain(answer.CertificateChain)
	switch {
	case err != nil:
		return Registration{}, misread(http.StatusOK, err.Error())
	case !chain.For(key):
		return Registration{}, misread(http.StatusOK, "the certificate is for another key")
	case !answer.UserID.Valid():
		return Registration{}, misread(http.StatusOK, "the answer has no user id")
	}
	return Registration{UserID: answer.UserID, Chain: chain}, nil
}
