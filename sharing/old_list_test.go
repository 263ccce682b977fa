package sharing_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

// oldList answers the front door's list of users as it was a while ago.
type oldList struct {
	c    *cloud
	next http.RoundTripper

	mu  sync.Mutex
	by  time.Duration // how old it is; 0 for none
	was []listed
}

// listed is who had the door until a time.
type listed struct {
	until time.Time
	users []doordecksim.Member
}

// newOldList is between a cloud and the replicas made from now on, before what is there already.
func newOldList(t testing.TB, c *cloud) *oldList {
	l := &oldList{c: c, next: c.transport}
	if l.next == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		t.Cleanup(own.CloseIdleConnections)
		l.next = own
	}
	c.transport = l
	return l
}

// remember is called before anything may change who has the door.
func (l *oldList) remember() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.was = append(l.was, listed{l.c.Now(), l.c.Users(front)})
}

func (l *oldList) RoundTrip(r *http.Request) (*http.Response, error) {
	l.remember()
	resp, err := l.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasSuffix(r.URL.Path, front+"/users") {
		return resp, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	then := l.c.Now().Add(-l.by)
	for _, was := range l.was {
		if l.by == 0 || was.until.Before(then) {
			continue
		}
		_ = resp.Body.Close()
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(usersJSON(was.users))), -1
		break
	}
	return resp, nil
}

func usersJSON(users []doordecksim.Member) string {
	type user struct {
		ID   string           `json:"userId"`
		Role doordecksim.Role `json:"role"`
	}
	all := []user{}
	for _, u := range users {
		all = append(all, user{u.User, u.Role})
	}
	data, _ := json.Marshal(all)
	return string(data)
}
