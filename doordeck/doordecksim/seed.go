package doordecksim

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
)

// DefaultIssuer is the issuer of the application that is made when Options name none.
const DefaultIssuer = "https://gatehouse.example/"

// The kids of its keys.
const (
	KeyEd25519 = "sim-ed25519"
	KeyEC      = "sim-ec"
	KeyRSA     = "sim-rsa"
)

// The seeded locks. All are invented, and AdminAda is an administrator of each.
const (
	LockFront   = "5e3c0f10-0001-4f00-8000-00000000d001" // takes batches
	LockLoading = "5e3c0f10-0001-4f00-8000-00000000d002" // says nothing of batches
	LockArchive = "5e3c0f10-0001-4f00-8000-00000000d003" // says that it does not take batches
	LockBoat    = "5e3c0f10-0001-4f00-8000-00000000d004" // takes batches and is offline
	LockLift    = "5e3c0f10-0001-4f00-8000-00000000d005" // takes batches and hangs
)

// The subjects of the seeded people.
const (
	AdminAda     = "admin-ada"     // ada@example.test, +442079460001
	AdminBen     = "admin-ben"     // ben@example.test; administrator of LockFront and LockLoading
	VisitorAna   = "visitor-ana"   // ana@example.test
	VisitorBram  = "visitor-bram"  // +442079460012, no e-mail address
	VisitorChidi = "visitor-chidi" // chidi@example.test, not verified: the directory does not find it
	VisitorDora  = "visitor-dora"  // dora@example.test; user of LockFront
)

// The seeded account that can log in, which no application vouches for.
const (
	AccountEmail    = "erin@example.test"
	AccountPassword = "not-a-secret"
)

// issuer is that of the application that people belong to unless said otherwise.
func (s *Sim) issuer() string {
	if len(s.o.Applications) > 0 {
		return s.o.Applications[0].Issuer
	}
	return DefaultIssuer
}

// seed fills a new simulation. What fails here is a mistake in the options or in this file.
func (s *Sim) seed() {
	must := func(err error) {
		if err != nil {
			panic("doordecksim: " + err.Error())
		}
	}
	s.apps[OwnIssuer] = s.ownApplication()
	if len(s.o.Applications) == 0 {
		must(s.addApplication(s.seedApplication()))
	}
	for _, a := range s.o.Applications {
		must(s.addApplication(a))
	}
	if s.o.Empty {
		return
	}
	for _, u := range seedUsers() {
		_, err := s.AddUser(u)
		must(err)
	}
	for _, l := range seedLocks() {
		must(s.AddLock(l))
	}
	_, err := s.AddAccount(AccountEmail, AccountPassword, "Erin Eze")
	must(err)
}

// seedApplication has a key of each kind.
func (s *Sim) seedApplication() Application {
	public, edwards, errEdwards := ed25519.GenerateKey(rand.Reader)
	curve, errCurve := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	number, errPool := s.keys.take()
	if errEdwards != nil || errCurve != nil || errPool != nil {
		panic("doordecksim: no keys could be made") // crypto/rand does not fail, and the pool is new
	}
	modulus := rsaPrivate(number)
	s.seeded = map[string]SigningKey{
		KeyEd25519: {KeyEd25519, edwards}, KeyEC: {KeyEC, curve}, KeyRSA: {KeyRSA, modulus},
	}
	return Application{Issuer: DefaultIssuer, Keys: []Key{
		{ID: KeyEd25519, Algorithm: "EdDSA", Public: public},
		{ID: KeyEC, Algorithm: "ES256", Public: &curve.PublicKey},
		{ID: KeyRSA, Public: &modulus.PublicKey},
	}}
}

func seedUsers() []User {
	mail := func(subject, name, email string) User {
		return User{Subject: subject, Name: name, Email: email, EmailVerified: true}
	}
	ada := mail(AdminAda, "Ada Achterberg", "ada@example.test")
	ada.Telephone, ada.TelephoneVerified = "+442079460001", true
	chidi := mail(VisitorChidi, "Chidi Okafor", "chidi@example.test")
	chidi.EmailVerified = false
	return []User{
		ada,
		mail(AdminBen, "Ben Brannigan", "ben@example.test"),
		mail(VisitorAna, "Ana Pereira", "ana@example.test"),
		{Subject: VisitorBram, Name: "Bram de Wit", Telephone: "+442079460012", TelephoneVerified: true},
		chidi,
		mail(VisitorDora, "Dora Lindqvist", "dora@example.test"),
	}
}

func seedLocks() []Lock {
	ada := Member{User: AdminAda, Role: RoleAdmin}
	ben := Member{User: AdminBen, Role: RoleAdmin}
	dora := Member{User: VisitorDora, Role: RoleUser}
	batch := func(value string) map[string]string {
		return map[string]string{"OPEN_HOURS": Supported, "CONFIGURABLE_UNLOCK_DURATION": Supported, BatchSharing: value}
	}
	return []Lock{
		{ID: LockFront, Name: "Front Door", Capabilities: batch(Supported), Users: []Member{ada, ben, dora}},
		{ID: LockLoading, Name: "Loading Bay", Capabilities: map[string]string{"OPEN_HOURS": Supported}, Users: []Member{ada, ben}},
		{ID: LockArchive, Name: "Archive", Capabilities: batch(Unsupported), Users: []Member{ada}},
		{ID: LockBoat, Name: "Boat Shed", Capabilities: batch(Supported), Offline: true, Users: []Member{ada}},
		{ID: LockLift, Name: "Goods Lift", Capabilities: batch(Supported), Hanging: true, Users: []Member{ada}},
	}
}
