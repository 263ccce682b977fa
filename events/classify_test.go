package events_test

import (
	"math"
	"testing"

	"gatehouse/events"
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		code        int64
		class, name string
	}{
		{0, "other", "0"},
		{9, "other", "9"},
		{10, "access", "granted"},
		{18, "access", "granted"},
		{19, "other", "19"},
		{20, "access", "denied"},
		{29, "access", "denied"},
		{30, "door", "30"},
		{37, "door", "37"},
		{38, "other", "38"},
		{69, "other", "69"},
		{70, "access", "granted"},
		{71, "access", "denied"},
		{73, "access", "denied"},
		{74, "other", "74"},
		{-10, "other", "-10"},
		{math.MaxInt64, "other", "9223372036854775807"},
	} {
		if got := events.Classify(tt.code); got != (events.Class{Class: tt.class, Name: tt.name}) {
			t.Errorf("code %d is %v, want %s.%s", tt.code, got, tt.class, tt.name)
		}
	}
}

func TestCredentialClass(t *testing.T) {
	for action, want := range map[string]string{"CREATE": "created", "UPDATE": "updated", "DESTROY": "destroyed", "other": "updated"} {
		if got := events.CredentialClass(action); got.Class != "credential" || got.Name != want {
			t.Errorf("%s is %v, want %s", action, got, want)
		}
	}
}
