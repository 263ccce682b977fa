package doordeck_test

import (
	"fmt"
	"time"

	"gatehouse/doordeck"
)

// A key file may hold a JWK or PEM. A JWK brings its key id; for PEM it is given.
func ExampleParseKey() {
	key, err := doordeck.ParseKey([]byte(v10Key), "")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.ID(), key)
	// Output: gw-2026-01 REDACTED
}

// What lives for more than a minute is queued for the door; an unlock may not be.
func ExampleSigner_Sign() {
	key := doordeck.NewEphemeralKey()
	signer := doordeck.Signer{UserID: "7a1d2c30-0001-11f0-8000-00000000a001", Key: key}
	_, err := signer.Sign("7a1d2c30-0002-11f0-8000-00000000b001", doordeck.Unlock{}, time.Hour)
	fmt.Println(err)
	// Output: there is no certificate chain; register the key
}

func ExampleEphemeralKey_SignCode() {
	key, err := doordeck.ParseEphemeralKey([]byte("thirty-two bytes of a kept seed!"))
	if err != nil {
		fmt.Println(err)
		return
	}
	typed, _ := key.SignCode("123-456\n")
	plain, _ := key.SignCode("123456")
	fmt.Println(typed == plain)
	// Output: true
}
