// Command visitor lets a visitor in for the day. Through the gateway it makes a person and a random PIN at
// DoorFlow, shares a lock of Doordeck's if there is one, tells when that person comes in, and takes everything
// away at five, or when it is interrupted.
//
// Run it again for the same -visit and it goes on with what is there already.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "visitor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	v := visit{gateway: gateway{url: cmp.Or(os.Getenv("GATEHOUSE_URL"), "http://localhost:8080"), key: os.Getenv("GATEHOUSE_TOKEN")}}
	flag.StringVar(&v.account, "account", "", "the DoorFlow account")
	flag.StringVar(&v.id, "visit", "", "what you call this visit")
	flag.StringVar(&v.first, "first", "", "the visitor's first name")
	flag.StringVar(&v.last, "last", "", "the visitor's last name")
	flag.IntVar(&v.group, "group", 0, "the group whose doors the visitor may open")
	flag.StringVar(&v.identity, "identity", "", "the Doordeck identity that shares the lock")
	flag.StringVar(&v.lock, "lock", "", "a lock of Doordeck's, if the visitor gets one")
	flag.StringVar(&v.email, "email", "", "the visitor's e-mail address, for the lock")
	from := flag.String("from", "", "when it begins; now if it is not given")
	until := flag.String("until", "17:00", "when it ends: a time of today's, or one such as 2026-01-02T17:00:00Z")
	flag.Parse()
	if v.account == "" || v.id == "" || v.first == "" || v.last == "" {
		return errors.New("want -account, -visit, -first and -last")
	}
	if v.lock != "" && (v.identity == "" || v.email == "") {
		return errors.New("-lock: want -identity and -email as well")
	}
	var err error
	if v.until, err = moment(*until); err != nil {
		return fmt.Errorf("-until: %w", err)
	}
	if *from != "" {
		if v.from, err = moment(*from); err != nil {
			return fmt.Errorf("-from: %w", err)
		}
	}
	if !v.until.After(time.Now()) {
		return fmt.Errorf("it is past %s", *until)
	}
	return v.run(ctx)
}

func moment(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil {
		return t, errors.New("want a time such as 17:00")
	}
	y, m, d := time.Now().Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, time.Local), nil
}

// visit is one visitor for one day.
type visit struct {
	gateway
	id, first, last       string
	group                 int
	from, until           time.Time // from is zero for now
	identity, lock, email string
}

func (v *visit) run(ctx context.Context) error {
	// Listen first, so that nothing is missed.
	entries, err := v.entries(ctx)
	if err != nil {
		return err
	}
	person, err := v.person(ctx)
	if err != nil {
		return fmt.Errorf("making the visitor: %w", err)
	}
	// From here on there may be a PIN. It goes, whatever happens.
	defer v.takeAway(person)
	pin, err := v.pin(ctx, person)
	if err != nil {
		return fmt.Errorf("making the PIN: %w", err)
	}
	// The doors learn of it only now.
	if err := v.sync(ctx); err != nil {
		return fmt.Errorf("telling the doors: %w", err)
	}
	fmt.Printf("%s %s may come in until %s. The PIN is %s\n", v.first, v.last, v.until.Format("15:04"), pin)
	if v.lock != "" {
		status, err := v.share(ctx)
		if err != nil {
			return fmt.Errorf("sharing the lock: %w", err)
		}
		fmt.Printf("The lock is shared with %s: %s\n", v.email, status)
	}

	end := time.NewTimer(time.Until(v.until))
	defer end.Stop()
	for {
		select {
		case e := <-entries:
			if e.PersonID == person {
				fmt.Printf("%s  %s came in: %s\n", e.At.Local().Format("15:04:05"), e.Person, e.Door)
			}
		case <-end.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// person finds the visitor under the visit's id, or makes one: looking first, nobody is made twice although
// an answer was lost.
func (v *visit) person(ctx context.Context) (int64, error) {
	var found []struct{ ID int64 }
	if err := v.doorflow(ctx, http.MethodGet, "people?"+url.Values{"system_id": {v.id}}.Encode(), nil, &found); err != nil {
		return 0, err
	}
	if len(found) > 0 {
		return found[0].ID, nil
	}
	in := map[string]any{
		"first_name": v.first, "last_name": v.last, "system_id": v.id,
		"valid_to": v.until.UTC().Format(time.RFC3339), // the PIN's end, should this program never get to it
	}
	if !v.from.IsZero() {
		in["valid_from"] = v.from.UTC().Format(time.RFC3339)
	}
	if v.group != 0 {
		in["group_ids"] = []int{v.group}
	}
	var made struct{ ID int64 }
	err := v.doorflow(ctx, http.MethodPost, "people", in, &made)
	return made.ID, err
}

// codePIN is what the type for PINs is called in every account. Its id is another in each.
const codePIN = 10

// pin asks for a random PIN, or finds the one that is there.
func (v *visit) pin(ctx context.Context, person int64) (string, error) {
	var types []struct{ ID, Code int }
	if err := v.doorflow(ctx, http.MethodGet, "credential_types", nil, &types); err != nil {
		return "", err
	}
	for _, t := range types {
		if t.Code != codePIN {
			continue
		}
		in := map[string]any{"person_credential": map[string]any{"credential_type_id": t.ID, "value": "******"}}
		var made struct{ Value string }
		err := v.doorflow(ctx, http.MethodPost, fmt.Sprintf("people/%d/credentials", person), in, &made)
		if status(err) == http.StatusConflict && made.Value != "" {
			err = nil // DoorFlow answers with the one that is there
		}
		return made.Value, err
	}
	return "", errors.New("the account has no credential type for PINs")
}

// sync brings the doors up to date. DoorFlow wants some time between two of these.
func (v *visit) sync(ctx context.Context) error {
	for {
		var told struct {
			RetryIn int `json:"retry_in"`
		}
		err := v.doorflow(ctx, http.MethodPost, "sync", nil, &told)
		if status(err) != http.StatusTooManyRequests {
			return err
		}
		if err := wait(ctx, time.Duration(max(told.RetryIn, 1))*time.Second); err != nil {
			return err
		}
	}
}

// takeAway removes whatever opens doors for the person, and does not give up.
func (v *visit) takeAway(person int64) {
	ctx := context.Background() // also when interrupted
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := v.removeCredentials(ctx, person)
		if err == nil {
			err = v.sync(ctx)
		}
		if err == nil && v.lock != "" {
			_, err = v.revoke(ctx)
		}
		if err == nil {
			fmt.Printf("%s %s can no longer come in.\n", v.first, v.last)
			return
		}
		fmt.Fprintf(os.Stderr, "taking it away: %v; trying again\n", err)
		_ = wait(ctx, pause)
	}
}

func (v *visit) removeCredentials(ctx context.Context, person int64) error {
	var credentials []struct{ ID string }
	path := fmt.Sprintf("people/%d/credentials", person)
	if err := v.doorflow(ctx, http.MethodGet, path, nil, &credentials); err != nil {
		return err
	}
	for _, c := range credentials {
		err := v.doorflow(ctx, http.MethodDelete, path+"/"+url.PathEscape(c.ID), nil, nil)
		if err != nil && status(err) != http.StatusNotFound {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
