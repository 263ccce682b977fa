// Command concierge shares a Doordeck lock for the day with everybody whom DoorFlow lets in, and prints what
// became of it. The person's foreign key at Doordeck is doorflow-PERSON_ID here.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: concierge CREDS ACCOUNT IDENTITY LOCK, with credentials named concierge")
	}
	account, identity, lock := os.Args[2], os.Args[3], os.Args[4]
	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.UserCredentials(os.Args[1]), nats.CustomInboxPrefix("_INBOX.concierge"))
	if err != nil {
		log.Fatal(err)
	}
	_, err = nc.Subscribe("gatehouse.event."+account+".access.granted", func(m *nats.Msg) {
		var event struct {
			ID   string
			Data struct {
				Person int `json:"person_id"`
			}
		}
		if err := json.Unmarshal(m.Data, &event); err != nil || event.Data.Person == 0 {
			return // nobody whom DoorFlow knows
		}
		ask := fmt.Sprintf(`{"id":"%s","lock":"%s","end":"%s","invitees":[{"foreign_key":"doorflow-%d"}],"wait":20}`,
			event.ID, lock, time.Now().UTC().Add(12*time.Hour).Format(time.RFC3339), event.Data.Person)
		answer, err := nc.Request("gatehouse.ask."+identity+".share.concierge", []byte(ask), 30*time.Second)
		if err != nil {
			fmt.Println("no answer:", err)
			return
		}
		fmt.Println(answer.Header.Get("Nats-Service-Error"), string(answer.Data))
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	select {}
}
