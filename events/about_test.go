package events_test

import (
	"testing"

	"gatehouse/events"
)

func TestWhatAMessageIsAbout(t *testing.T) {
	for body, want := range map[string]events.About{
		`{"data":{"person_id":4821,"person_name":"Ana","channel_id":5012,"channel_name":"Bay"}}`: {PersonID: "4821", PersonName: "Ana", DoorID: "5012", DoorName: "Bay"},
		`{"data":{"person_id":"p1","door_controller_id":7,"door_controller_name":"Gate"}}`:       {PersonID: "p1", DoorID: "7", DoorName: "Gate"},
		`{"data":{"person_id":null,"person_name":null,"lock":"7a1d"}}`:                           {DoorID: "7a1d"},
		`{"data":[1]}`: {}, `{}`: {}, `nonsense`: {}, `{"data":{"person_id":{"a":1}}}`: {PersonID: `{"a":1}`},
	} {
		if got := events.ReadAbout([]byte(body)); got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}
