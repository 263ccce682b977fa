package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/internal/vault"
)

// Revoke ends a refresh token and the access tokens that belong to it, or an access token. DoorFlow wants
// HTTP Basic here, unlike at the token endpoint; the credentials are not form-encoded first. A token that
// DoorFlow does not know is no error.
func (c *Client) Revoke(ctx context.Context, token vault.Secret) error {
	const op = "revoking"
	body := strings.NewReader(url.Values{"token": {token.Reveal()}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api+"/oauth/revoke", body)
	if err != nil {
		return fromFailure(op, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(c.config.ClientID, c.secret.Reveal())
	reply, status, err := c.do(req)
	if err != nil {
		return fromFailure(op, err)
	}
	if status/100 == 2 {
		return nil
	}
	return fromReply(op, status, errorCode(reply))
}

// Info is what an access token stands for.
type Info struct {
	Account string
	Scopes  []string
}

// TokenInfo asks DoorFlow whose token it is: the only way to learn the account.
func (c *Client) TokenInfo(ctx context.Context, access vault.Secret) (Info, error) {
	const op = "asking whose token it is"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+"/oauth/token/info", nil)
	if err != nil {
		return Info{}, fromFailure(op, err)
	}
	req.Header.Set("Authorization", "Bearer "+access.Reveal())
	reply, status, err := c.do(req)
	if err != nil {
		return Info{}, fromFailure(op, err)
	}
	if status != http.StatusOK {
		return Info{}, fromReply(op, status, errorCode(reply))
	}
	var info struct {
		Account text   `json:"account_id"`
		Scope   scopes `json:"scope"`
	}
	if json.Unmarshal(reply, &info) != nil || !isAccount(string(info.Account)) {
		return Info{}, &Error{Class: Rejected, Op: op, Code: "the reply names no account", Status: status}
	}
	return Info{Account: string(info.Account), Scopes: info.Scope}, nil
}

func (c *Client) do(req *http.Request) (reply []byte, status int, err error) {
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	reply, err = io.ReadAll(resp.Body)
	return reply, resp.StatusCode, err
}

func errorCode(reply []byte) string {
	var failure struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(reply, &failure)
	return failure.Error
}

// text is a string, or a number where an older description has one.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	if b[0] != '"' {
		var n json.Number
		err := json.Unmarshal(b, &n)
		*t = text(n)
		return err
	}
	return json.Unmarshal(b, (*string)(t))
}

// scopes is an array here and a string in the token reply; both are taken.
type scopes []string

func (s *scopes) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*[]string)(s))
	}
	var joined string
	err := json.Unmarshal(b, &joined)
	*s = strings.Fields(joined)
	return err
}
