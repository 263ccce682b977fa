package doorflowsim

import "time"

// Time is a time as the API writes it: UTC with milliseconds.
type Time struct{ time.Time }

// MarshalJSON writes 2026-01-01T00:00:00.000Z.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// Event is an access or perimeter event. Nullable fields are pointers.
type Event struct {
	ID                 int64   `json:"id"`
	EventID            int64   `json:"event_id"`
	EventCode          int     `json:"event_code"`
	EventLabel         string  `json:"event_label"`
	DoorControllerID   *int    `json:"door_controller_id"`
	DoorControllerName *string `json:"door_controller_name"`
	ChannelID          *int    `json:"channel_id"`
	ChannelName        *string `json:"channel_name"`
	PersonID           *int    `json:"person_id"`
	PersonName         *string `json:"person_name"`
	// CredentialsNumber is the card number or PIN in clear, as DoorFlow sends it.
	CredentialsNumber *string `json:"credentials_number"`
	CreatedAt         Time    `json:"created_at"`
	UpdatedAt         Time    `json:"updated_at"`
}

// Credential is a PIN, a card or a fob of a person.
type Credential struct {
	ID               string  `json:"id"`
	CredentialTypeID int     `json:"credential_type_id"`
	Label            string  `json:"label"`
	PersonID         int     `json:"person_id"`
	Value            *string `json:"value"`
	Status           string  `json:"status"`
}

// CredentialType has an id and a slug that differ between accounts; only Code can be relied on.
type CredentialType struct {
	ID    int    `json:"id"`
	Label string `json:"label"`
	Slug  string `json:"slug"`
	Code  int    `json:"code"`
}

// Site is a place with doors.
type Site struct {
	ID       int      `json:"id"`
	Name     string   `json:"name"`
	TimeZone string   `json:"time_zone"`
	Notes    *string  `json:"notes"`
	SiteIPs  []siteIP `json:"site_ips"`
}

type siteIP struct {
	IPAddress string `json:"ip_address"`
}

// Group grants its members doors.
type Group struct {
	ID                int     `json:"id"`
	Name              string  `json:"name"`
	Notes             *string `json:"notes"`
	GlobalAcrossSites bool    `json:"global_across_sites"`
	CreatedAt         Time    `json:"created_at"`
	UpdatedAt         Time    `json:"updated_at"`
}

// Role grants hours; no shift means around the clock.
type Role struct {
	ID        int     `json:"id"`
	Name      string  `json:"name"`
	ShiftID   *int    `json:"shift_id"`
	Notes     *string `json:"notes"`
	CreatedAt Time    `json:"created_at"`
	UpdatedAt Time    `json:"updated_at"`
}

// Channel is a door.
type Channel struct {
	ID           int         `json:"id"`
	Name         string      `json:"name"`
	MACAddress   string      `json:"mac_address"`
	Status       string      `json:"status"`
	Unit         int         `json:"unit"`
	Model        string      `json:"model"`
	ModelLong    string      `json:"model_long"`
	SerialNumber string      `json:"serial_number"`
	CardFormat   *string     `json:"card_format"`
	PINFormat    *string     `json:"pin_format"`
	SiteID       int         `json:"site_id"`
	CreatedAt    Time        `json:"created_at"`
	UpdatedAt    Time        `json:"updated_at"`
	Sync         channelSync `json:"sync"`
	Lockdown     *lockdown   `json:"lockdown"`
	Mode         channelMode `json:"mode"`
	AutoUnlock   *struct{}   `json:"auto_unlock"`
}

type channelSync struct {
	Status            string `json:"status"`
	LastSyncCompleted *Time  `json:"last_sync_completed_at"`
}

type channelMode struct {
	Description string `json:"description"`
	RelockAt    *Time  `json:"relock_at"`
	ChangeStamp *Time  `json:"change_stamp"`
}

type lockdown struct {
	Message string       `json:"message"`
	Card    lockdownPart `json:"card_lockdown"`
	REX     lockdownPart `json:"rex_lockdown"`
	AUX     lockdownPart `json:"aux_lockdown"`
}

type lockdownPart struct {
	State bool `json:"state"`
}
