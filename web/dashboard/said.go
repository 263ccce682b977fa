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
	"identity-made":        {"The identity is made, and its key is on its way to Doordeck.", "good"},
	"identity-deleted":     {"The identity is deleted, and its keys are wiped.", "good"},
	"registered":           {"Doordeck has taken the key, and given it a new certificate chain.", "good"},
	"not-registered":       {"Doordeck has not taken the key. What it said stands below.", "warn"},
	"key-kept":             {"The new key is given up, and the old one goes on serving.", "good"},
	"code-needed":          {"Doordeck wants the key proven by a code. Choose below how it is to be sent.", "warn"},
	"code-sent":            {"The code is on its way. It works for five minutes.", "good"},
	"code-right":           {"The code was right, and the key is proven.", "good"},
	"nobody-chosen":        {"Nobody was chosen. Tick those whose access is to end, and press the button again.", "warn"},
	"creds-revoked":        {"The credentials are revoked. Their connections are closed, and the file lets nobody in any more.", "good"},
	"session-ended":        {"That browser is signed out.", "good"},
	"replayed":             {"Said again. This is the new message; it names the one that it repeats.", "good"},
}
