package doorflowsim

import "net/http"

// maxBody bounds every request body.
const maxBody = 1 << 20

// Route is one operation of the API, for tests that walk all of them.
type Route struct {
	Method, Pattern string   // Pattern as in http.ServeMux, without the method
	Scopes          []string // one of them suffices; none means that any token does
	handle          func(*call) reply
}

// Routes lists the API's operations and the scopes they need.
func Routes() []Route {
	const person, personRead = "account.person", "account.person.readonly"
	const channels, admit, admitPerson = "account.channel.readonly", "account.channel.admit", "account.channel.admit.person"
	const reserve, groupReserve = "account.reservation", "account.group_reservation"
	of := func(scopes ...string) []string { return scopes }
	return []Route{
		{"GET", "/api/3/account", nil, getAccount},
		{"GET", "/api/3/people", of(personRead), listPeople},
		{"POST", "/api/3/people", of(person), createPerson},
		{"GET", "/api/3/people/{id}", of(personRead), getPerson},
		{"PUT", "/api/3/people/{id}", of(person), updatePerson},
		{"DELETE", "/api/3/people/{id}", of(person), deletePerson},
		{"GET", "/api/3/credentials", of(personRead), listCredentials},
		{"GET", "/api/3/people/{person}/credentials", of(personRead), listCredentials},
		{"POST", "/api/3/people/{person}/credentials", of(person), createCredential},
		{"GET", "/api/3/people/{person}/credentials/{id}", of(personRead), getCredential},
		{"PUT", "/api/3/people/{person}/credentials/{id}", of(person), updateCredential},
		{"DELETE", "/api/3/people/{person}/credentials/{id}", of(person), deleteCredential},
		{"GET", "/api/3/credential_types", of("account.credential_type.readonly"), listCredentialTypes},
		{"GET", "/api/3/events", of(scopeEvents), listEvents},
		{"GET", "/api/3/events/{id}", of(scopeEvents), getEvent},
		{"GET", "/api/3/channels", of(channels), listChannels},
		{"GET", "/api/3/channels/{id}", of(channels), getChannel},
		{"POST", "/api/3/channels/{id}/admit", of(admit), admitAnyone},
		{"POST", "/api/3/channels/{id}/admit_person", of(admitPerson), admitNamed},
		{"POST", "/api/3/channels/{id}/unlock", of(admit), unlockChannel},
		{"POST", "/api/3/channels/{id}/normal", of(admit), normalChannel},
		{"POST", "/api/3/channels/{id}/lockdown", of(admit), lockdownChannel},
		{"POST", "/api/3/channels/{id}/unlockdown", of(admit), unlockdownChannel},
		{"GET", "/api/3/admission_requests/{id}", of(admit, admitPerson), getAdmission},
		{"GET", "/api/3/groups", of("account.group.readonly"), listGroups},
		{"GET", "/api/3/roles", of("account.role.readonly"), listRoles},
		{"GET", "/api/3/sites", of("account.site.readonly"), listSites},
		{"GET", "/api/3/reservations", of(reserve + ".readonly"), listReservations},
		{"POST", "/api/3/reservations", of(reserve), createReservation},
		{"DELETE", "/api/3/reservations/{id}", of(reserve), deleteReservation},
		{"GET", "/api/3/group_reservations", of(groupReserve + ".readonly"), listGroupReservations},
		{"POST", "/api/3/group_reservations", of(groupReserve), createGroupReservation},
		{"DELETE", "/api/3/group_reservations/{id}", of(groupReserve), deleteGroupReservation},
		{"POST", "/api/3/sync", of("account.sync"), startSync},
	}
}

// routes builds the handler of the whole origin.
func (s *Sim) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /oauth/authorize", s.authorize)
	mux.HandleFunc("POST /oauth/authorize", s.authorize)
	mux.HandleFunc("POST /oauth/token", s.token)
	mux.HandleFunc("POST /oauth/revoke", s.revoke)
	mux.HandleFunc("GET /oauth/token/info", s.tokenInfo)
	s.controlRoutes(mux)

	// The API has a mux of its own because its paths are normalised first.
	api := http.NewServeMux()
	for _, route := range Routes() {
		api.Handle(route.Method+" "+route.Pattern, s.operation(route))
	}
	api.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound().write(w) })
	mux.Handle("/api/3/", normalised(api))

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}
