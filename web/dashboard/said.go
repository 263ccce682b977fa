package dashboard

// said is what a page says about an action that has just been done.
type said struct{ Text, Tone string }

// words are all that can be said. The address of a page names one of them, and can make it say nothing else.
var words = map[string]said{
	"disconnected":         {"The account is disconnected, and DoorFlow has confirmed that its tokens are revoked.", "good"},
	"disconnected-not-yet": {"The account is disconnected. DoorFlow has not confirmed the revocation of its tokens yet; the gateway goes on trying for three days.", "warn"},
	"key-revoked":          {"The key is revoked. It works nowhere any more, and what it had open ends within two seconds.", "good"},
	"endpoint-changed":     {"The endpoint is changed, from now on.", "good"},
	"endpoint-enabled":     {"The endpoint is enabled. It gets what is said from now on; a replay brings what it missed.", "good"},
	"endpoint-disabled":    {"The endpoint is disabled.", "good"},
	"endpoint-deleted":     {"The endpoint is deleted, with its deliveries.", "good"},
	"retried":              {"It is being sent again. What becomes of it shows below by itself.", "good"},
	"replayed":             {"Said again. This is the new message; it names the one that it repeats.", "good"},
}
