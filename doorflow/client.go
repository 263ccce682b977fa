package doorflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxResource bounds what is read of one resource.
const maxResource = 1 << 20

// UserAgent is sent with every request.
const UserAgent = "gatehouse"

// Error is an answer of the API that is not a success. It holds no part of the body but DoorFlow's own
// short error code, so it can be logged.
type Error struct {
	Status int
	// Code is the `error` field of the body, where it is a short word.
	Code string
	// RetryAfter is how long DoorFlow asks to wait: the Retry-After header or `retry_in`; 0 where neither.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("DoorFlow answered %d", e.Status)
	}
	return fmt.Sprintf("DoorFlow answered %d (%s)", e.Status, e.Code)
}

// ErrNotJSON says that DoorFlow answered a fetch with something that is not a JSON object, or is too large.
var ErrNotJSON = errors.New("doorflow: the resource is not a JSON object of at most 1 MiB")

// API is where DoorFlow's API is reached.
type API struct{ Base *url.URL }

// Fetch gets a resource and, where the target has an ack token, thereby acknowledges its notification. The client's transport must add the
// bearer token of the notification's account, and must not follow redirects.
func (a API) Fetch(ctx context.Context, client *http.Client, t Target) (json.RawMessage, error) {
	query := url.Values{}
	if t.AckToken != "" {
		query.Set(fieldAckToken, t.AckToken)
	}
	if t.Callback != "" {
		query.Set("callback", t.Callback)
	}
	_, body, err := a.get(ctx, client, t.Path, query, maxResource)
	if err != nil {
		return nil, err
	}
	if len(body) > maxResource || !json.Valid(body) || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, ErrNotJSON
	}
	return body, nil
}

// get reads a path below the API, up to one byte more than the limit. An answer that is no success is an *Error.
func (a API) get(ctx context.Context, client *http.Client, path string, query url.Values, limit int64) (http.Header, []byte, error) {
	u := *a.Base
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, errors.New("doorflow: the target cannot be requested")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", UserAgent)
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading DoorFlow's answer: %w", withoutURL(err))
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, nil, newError(resp, body)
	}
	return resp.Header, body, nil
}

// withoutURL takes the URL out of an error of net/http: it holds the ack token. So does an error that
// quotes a redirect that repeats it; of such a one nothing is left.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if strings.Contains(err.Error(), fieldAckToken) {
		return errors.New("DoorFlow's answer cannot be followed")
	}
	return err
}

func newError(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode}
	var told struct {
		Error   any `json:"error"`
		RetryIn any `json:"retry_in"`
	}
	if json.Unmarshal(body, &told) == nil {
		if code, ok := told.Error.(string); ok && isHashID(code) {
			e.Code = code
		}
		if seconds, ok := told.RetryIn.(float64); ok {
			e.RetryAfter = seconds2duration(seconds)
		}
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		if seconds, err := strconv.ParseFloat(after, 64); err == nil {
			e.RetryAfter = seconds2duration(seconds)
		} else if at, err := http.ParseTime(after); err == nil {
			e.RetryAfter = seconds2duration(time.Until(at).Seconds())
		}
	}
	return e
}

// seconds2duration keeps what a stranger says within a day.
func seconds2duration(s float64) time.Duration {
	if !(s > 0) {
		return 0
	}
	return time.Duration(min(s, 86400) * float64(time.Second))
}
