package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"gatehouse/doorflow"
	"gatehouse/standardwebhooks"
)

// parseSecrets reads one "whsec_…" or, around a rotation, several with commas.
func parseSecrets(text string) ([]standardwebhooks.Secret, error) {
	var secrets []standardwebhooks.Secret
	for s := range strings.SplitSeq(text, ",") {
		secret, err := standardwebhooks.ParseSecret(s)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// verify checks a delivery by its webhook-… headers and returns its id. The same id is the same message again.
func verify(header http.Header, body []byte, secrets []standardwebhooks.Secret) (id string, err error) {
	return standardwebhooks.Verify(header, body, time.Now(), standardwebhooks.Tolerance, secrets...)
}

// verifyDoorFlow checks it by Timestamp and Signature, as DoorFlow's own webhooks are checked. They do not cover the
// webhook-id header, so the id is the body's.
func verifyDoorFlow(header http.Header, body []byte, secrets []standardwebhooks.Secret) (id string, err error) {
	verifier := doorflow.Verifier{Tolerance: standardwebhooks.Tolerance}
	for _, s := range secrets {
		verifier.Secrets = append(verifier.Secrets, []byte(s.Reveal())) // the string as it is shown, "whsec_" and all
	}
	if _, err := verifier.Verify(header, body); err != nil {
		return "", err
	}
	var message struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &message); err != nil || message.ID == "" {
		return "", errors.New("the body has no id")
	}
	return message.ID, nil
}
