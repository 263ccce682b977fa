package doorflowsim

import "slices"

// Event codes that the simulation itself uses. The ranges are documented, these single meanings are inferred.
const (
	codeAdmitCard       = 10
	codeAdmitPIN        = 11
	codeAdmitApp        = 15
	codeRejectOutHours  = 21
	codeRejectPIN       = 24
	codeForced          = 31
	codeHeldOpen        = 32
	codeDoorNormal      = 33
	codeAdmissionDenied = 51
	codeAdmissionDown   = 52
)

// within says whether a code lies in one of the closed ranges given as pairs.
func within(code int, ranges ...int) bool {
	for pair := range slices.Chunk(ranges, 2) {
		if pair[0] <= code && code <= pair[1] {
			return true
		}
	}
	return false
}

func knownCode(code int) bool {
	return within(code, 1, 3, 10, 18, 20, 29, 30, 37, 40, 42, 50, 63, 70, 73, 90, 91, 100, 107, 220, 220, 223, 225)
}

func granted(code int) bool { return within(code, 10, 18, 70, 70) }

func denied(code int) bool { return within(code, 20, 29, 71, 73) }

// label is display text. DoorFlow's puts the person first or last as it pleases; nobody should parse it.
func label(code int, person string) string {
	by := func(prefix, what string) string {
		if person != "" {
			prefix += " " + person
		}
		return prefix + what
	}
	switch {
	case code == codeAdmitCard:
		return by("Admitted", " using Card")
	case code == codeAdmitPIN:
		return by("Admitted", " using PIN")
	case code == codeRejectOutHours:
		return by("Rejected", ", out of hours")
	case code == codeRejectPIN && person == "":
		return "Rejected unknown PIN"
	case code == codeForced:
		return "Door forced open"
	case code == codeHeldOpen:
		return "Door held open"
	case code == codeDoorNormal:
		return "Door back to normal"
	case code == codeAdmissionDenied:
		return by("Denied admission", "")
	case code == codeAdmissionDown:
		return "Admission failed, channel offline"
	case granted(code):
		return by("Admitted", "")
	case denied(code):
		return by("Rejected", "")
	case within(code, 90, 91):
		return "Tamper detected"
	}
	return by("Channel event", "")
}
