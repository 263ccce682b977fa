package main

import (
	"context"

	"gatehouse/sharing"
)

// natsOperations tells whether door operations may be asked over NATS. On an external server nobody but its own
// permissions says who asks, so somebody has to say that they do.
func (c *Config) natsOperations() bool {
	return c.NATSOperations == "on" || c.NATSOperations == "" && c.NATSURL == ""
}

func (c *Config) checkNATSOperations() error {
	switch c.NATSOperations {
	case "", "on", "off":
		return nil
	}
	return fault("NATS_OPERATIONS", "want on or off")
}

// openRoads puts together what takes operations from NATS.
func (a *App) openRoads() {
	if !a.config.natsOperations() {
		a.log.Info("door operations cannot be asked over NATS: GATEHOUSE_NATS_OPERATIONS is off")
		return
	}
	a.service = sharing.NewService(sharing.ServiceConfig{
		Conn: a.bus.Conn, Operations: a.operations, Identities: a.identities, Registerer: a.registry, Log: a.log,
	})
	a.commands = sharing.NewCommands(sharing.CommandsConfig{
		JetStream: a.bus.JS, Operations: a.operations, Registerer: a.registry, Log: a.log,
	})
}

// checkOperations says who may ask for doors over NATS.
func (c *doctorCommand) checkOperations(context.Context) finding {
	switch {
	case !c.natsOperations() && c.NATSURL == "":
		return finding{Status: statusOff, Detail: "door operations cannot be asked over NATS", Fix: "unset GATEHOUSE_NATS_OPERATIONS"}
	case !c.natsOperations():
		return finding{
			Status: statusOff, Detail: "door operations cannot be asked over the external NATS",
			Fix: "set GATEHOUSE_NATS_OPERATIONS=on once its permissions say who may ask for what, as below",
		}
	case c.NATSURL == "":
		return ok("programs ask with credentials that name the operation: gatehouse nats creds")
	}
	return ok("asked over the external NATS: its own permissions decide who may, as below, and who they are")
}
