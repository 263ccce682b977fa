package doordecksim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The operations.
const (
	opLock    = "MUTATE_LOCK"
	opAddUser = "ADD_USER"
	opBatch   = "BATCH_ADD_USER"
	opRemove  = "REMOVE_USER"
	opSetting = "MUTATE_SETTING"
)

func knownOperation(kind string) bool {
	return slices.Contains([]string{opLock, opAddUser, opBatch, opRemove, opSetting}, kind)
}

// operation is what is asked, with its fields read.
type operation struct {
	kind       string
	locked     bool
	people     []person
	duration   time.Duration // 0: keep
	between    json.RawMessage
	hasBetween bool
}

// person is one to add or, without role and key, to remove.
type person struct {
	user, publicKey string
	role            Role
	start, end      time.Time
}

func (p person) member() Member {
	return Member{User: p.user, Role: p.role, Start: p.start, End: p.end}
}

// sameKey compares what the base64 means, not how it is written.
func sameKey(a, b string) bool {
	rawA, errA := base64.StdEncoding.DecodeString(a)
	rawB, errB := base64.StdEncoding.DecodeString(b)
	return errA == nil && errB == nil && bytes.Equal(rawA, rawB)
}

// readOperation reads the fields that an operation needs; others are ignored.
func readOperation(kind string, o object, l *lock) (operation, error) {
	op := operation{kind: kind}
	var err error
	switch kind {
	case opLock:
		var isFlag bool
		if op.locked, isFlag = o.flag("locked"); !isFlag {
			err = errors.New("locked has to be true or false")
		}
	case opAddUser:
		op.people = make([]person, 1)
		op.people[0], err = readPerson(o)
	case opBatch:
		op.people, err = readBatch(o, l)
	case opRemove:
		op.people, err = readLeavers(o)
	case opSetting:
		err = op.readSetting(o)
	}
	return op, err
}

func readPerson(o object) (person, error) {
	var p person
	var isText bool
	if p.user, isText = o.text("user"); !isText || !isUUID(p.user) {
		return p, errors.New("user has to be a UUID")
	}
	p.user = strings.ToLower(p.user)
	if p.publicKey, isText = o.text("publicKey"); !isText {
		return p, errors.New("publicKey has to be a string")
	}
	p.role = RoleUser
	if o.has("role") {
		role, _ := o.text("role")
		if p.role = Role(role); p.role != RoleAdmin && p.role != RoleUser {
			return p, errors.New("role has to be ADMIN or USER")
		}
	}
	for name, at := range map[string]*time.Time{"start": &p.start, "end": &p.end} {
		if !o.has(name) {
			continue
		}
		value, isNumber := o.number(name)
		var sane bool
		if *at, sane = epoch(value); !isNumber || !sane {
			return p, errors.New("start and end have to be epoch seconds")
		}
	}
	if o.has("start") && o.has("end") && !p.end.After(p.start) {
		return p, errors.New("end has to come after start")
	}
	return p, nil
}

func readBatch(o object, l *lock) ([]person, error) {
	list, isList := as[[]json.RawMessage](o, "users")
	switch {
	case l.Capabilities[BatchSharing] != Supported:
		return nil, errors.New("the lock does not take batches")
	case !isList || len(list) < 1 || len(list) > maxShares:
		return nil, errors.New("users has to be a list of 1 to 25")
	}
	var people []person
	for i, raw := range list {
		entry, err := parseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("users[%d]: %w", i, err)
		}
		p, err := readPerson(entry)
		if err != nil {
			return nil, fmt.Errorf("users[%d]: %w", i, err)
		}
		if slices.ContainsFunc(people, func(other person) bool { return other.user == p.user }) {
			return nil, fmt.Errorf("users[%d] is there twice", i)
		}
		people = append(people, p)
	}
	return people, nil
}

func readLeavers(o object) ([]person, error) {
	list, isList := as[[]string](o, "users")
	if !isList || len(list) == 0 {
		return nil, errors.New("users has to be a list of UUIDs")
	}
	var people []person
	for _, id := range list {
		if !isUUID(id) {
			return nil, errors.New("users has to be a list of UUIDs")
		}
		people = append(people, person{user: strings.ToLower(id)})
	}
	return people, nil
}

// readSetting takes null for a duration as absent; for the open hours it removes them.
func (op *operation) readSetting(o object) error {
	if o.has("unlockDuration") {
		value, isNumber := o.number("unlockDuration")
		if !isNumber || value <= 0 || value > 60 {
			return errors.New("unlockDuration has to be above 0 and at most 60 seconds")
		}
		op.duration = time.Duration(value * float64(time.Second))
	}
	op.between, op.hasBetween = o["unlockBetween"]
	if !o.has("unlockBetween") {
		return nil
	}
	return checkHours(op.between)
}

var clockTime = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)

func checkHours(raw json.RawMessage) error {
	hours, err := parseObject(raw)
	if err != nil {
		return errors.New("unlockBetween has to be an object or null")
	}
	start, _ := hours.text("start")
	end, _ := hours.text("end")
	zone, _ := hours.text("timezone")
	days, isList := as[[]string](hours, "days")
	if !clockTime.MatchString(start) || !clockTime.MatchString(end) || zone == "" || !isList || len(days) == 0 {
		return errors.New("unlockBetween needs start and end as HH:mm, timezone and days")
	}
	if _, isList := as[[]string](hours, "exceptions"); hours.has("exceptions") && !isList {
		return errors.New("exceptions has to be a list of days")
	}
	return nil
}
