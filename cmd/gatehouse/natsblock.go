package main

import (
	"fmt"
	"io"
	"text/template"

	"gatehouse/events"
	"gatehouse/internal/natsauth"
)

// natsBlock is what an external NATS server needs in its configuration, for doctor to print: the accounts, what
// one program may do, and the streams. It says the same as the embedded server does. A program has an
// account of its own there too: an answer goes to whatever reply subject the request names, and in a shared
// account that would reach other programs' events, and the commands.
var natsBlock = template.Must(template.New("").Parse(`# accounts, in the configuration of every nats-server of the cluster. Make the keys with: nk -gen user -pubout
accounts {
  GATEHOUSE {
    jetstream: enabled
    users: [ { nkey: {{.GatewayKey}} } ]  # the gateway; GATEHOUSE_NATS_CREDS_FILE names the file with its seed
    exports: [
{{- range .Streams}}
      { stream: "{{.}}" }
{{- end}}
{{- range .Services}}
      { service: "{{.}}" }
{{- end}}
      { service: "$JS.API.CONSUMER.MSG.NEXT.{{.Stream}}.*", response_type: stream }
      { service: "$JS.API.CONSUMER.INFO.{{.Stream}}.*" }
      { service: "$JS.ACK.{{.Stream}}.>" }
    ]
  }
  # One account for each program. This one is called app, hears account hX9aQ2 and may act as identity acme. With
  # GATEHOUSE_NATS_OPERATIONS=on the gateway believes the last token of the subjects that are asked on: who it is that
  # asks. So a program may publish on none but its own; without operations over NATS, leave out what it publishes.
  APPS_app {
    imports: [
{{- range .Hears}}
      { stream: { account: GATEHOUSE, subject: "{{.}}" } }
{{- end}}
{{- range .Asks}}
      { service: { account: GATEHOUSE, subject: "{{.}}" } }
{{- end}}
      { service: { account: GATEHOUSE, subject: "$JS.API.CONSUMER.MSG.NEXT.{{.Stream}}.app" }, to: "{{.Prefix}}.CONSUMER.MSG.NEXT.{{.Stream}}.app" }
      { service: { account: GATEHOUSE, subject: "$JS.API.CONSUMER.INFO.{{.Stream}}.app" }, to: "{{.Prefix}}.CONSUMER.INFO.{{.Stream}}.app" }
      { service: { account: GATEHOUSE, subject: "$JS.ACK.{{.Stream}}.app.>" } }
    ]
    users: [ {
      nkey: {{.AppKey}}
      permissions: {
        publish: { allow: [
{{- range .Asks}}
          "{{.}}"
{{- end}}
          "{{.Prefix}}.CONSUMER.MSG.NEXT.{{.Stream}}.app", "{{.Prefix}}.CONSUMER.INFO.{{.Stream}}.app", "$JS.ACK.{{.Stream}}.app.>"
        ] }
        subscribe: { allow: [
{{- range .Hears}}
          "{{.}}"
{{- end}}
          "_INBOX.app.>"
        ] }
      }
    } ]
  }
}
# streams: the gateway makes {{.Stream}} and {{.Commands}} at its first start, with three replicas where the
# cluster has them, both denying delete and purge. The app's durable consumer, made once as the gateway's user:
#   nats consumer add {{.Stream}} app --pull --ack explicit --deliver all --max-pending 1000 --wait 30s --defaults{{range .Hears}} --filter '{{.}}'{{end}}
`))

// printNATSBlock writes it for an example of a program, with the public keys of the gateway and the program.
func printNATSBlock(w io.Writer, gatewayKey, appKey string) error {
	grant := natsauth.Grant{
		Name: "app", Events: []string{"hX9aQ2"},
		Ask: map[string][]string{"acme": {"share", "revoke", "lookup", "doors"}}, Command: map[string][]string{"acme": {"share"}},
	}
	streams, services := natsauth.Exports()
	err := natsBlock.Execute(w, map[string]any{
		"GatewayKey": gatewayKey, "AppKey": appKey, "Stream": events.StreamName, "Commands": events.CommandsName,
		"Streams": streams, "Services": services, "Prefix": natsauth.APIPrefix, "Hears": grant.Hears(), "Asks": grant.Asks(),
	})
	if err != nil {
		return fmt.Errorf("writing the NATS configuration: %w", err)
	}
	return nil
}
