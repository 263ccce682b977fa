package sharing_test

import (
	"testing"

	"gatehouse/sharing"
)

// Every combination of what may have become of people, however many they are: each status is there or not.
func TestTheStatusOfAnOperationFollowsFromItsPeople(t *testing.T) {
	all := []sharing.Status{
		sharing.Accepted, sharing.Running, sharing.Queued, sharing.Watched,
		sharing.Applied, sharing.Confirmed, sharing.Failed, sharing.Expired, sharing.Cancelled, sharing.Unknown,
	}
	seen := map[sharing.Status]int{}
	for set := 1; set < 1<<len(all); set++ {
		has, people := map[sharing.Status]bool{}, []sharing.Status{}
		for i, s := range all {
			if set&(1<<i) != 0 {
				has[s], people = true, append(people, s)
			}
		}
		status, done := sharing.Fold(people)
		seen[status]++
		open := has[sharing.Accepted] || has[sharing.Running] || has[sharing.Queued] || has[sharing.Watched]
		good := has[sharing.Applied] || has[sharing.Confirmed]
		bad := has[sharing.Failed] || has[sharing.Expired] || has[sharing.Cancelled] || has[sharing.Unknown]
		want := sharing.Cancelled
		switch {
		case len(people) == 1 && people[0] != sharing.Watched:
			want = people[0]
		case has[sharing.Accepted], has[sharing.Running]:
			want = sharing.Running
		case has[sharing.Queued]:
			want = sharing.Queued
		case has[sharing.Watched]:
			want = sharing.Running
		case good && bad:
			want = sharing.Partial
		case good: // both
			want = sharing.Confirmed
		case has[sharing.Unknown]:
			want = sharing.Unknown
		case has[sharing.Failed]:
			want = sharing.Failed
		case has[sharing.Expired]:
			want = sharing.Expired
		}
		if status != want || done == open || done != status.Final() {
			t.Errorf("%v: %s, done %v; want %s", people, status, done, want)
		}
		twice, _ := sharing.Fold(append(people, people...))
		if !has[sharing.Accepted] && twice != status {
			t.Errorf("%v: %s, and for twice as many %s", people, status, twice)
		}
	}
	if len(seen) != 10 {
		t.Errorf("only %v came out", seen)
	}
}
