package sharing

import "time"

// Fold is how the statuses of people become that of their operation; done tells whether nothing is left to do.
func Fold(people []Status) (status Status, done bool) {
	status, left := fold(people)
	return status, left == stageDone
}

// Watched is the one status that is not shown.
const Watched = watched

// Decode reads an operation, and tells what it needs.
func Decode(body []byte, kind, id string) (callerID string, people int, needs []Permission, err error) {
	o, err := decode(body, kind, id, time.Unix(1_800_000_000, 0))
	if err != nil {
		return "", 0, nil, err
	}
	return o.CallerID, len(o.parts), o.needs(), nil
}
