// Command gatehouse is a webhook and event gateway for physical access control.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	syscall.Umask(0o077)      // whatever it writes is its user's alone
	log.SetOutput(io.Discard) // net/http quotes there what servers of strangers send out of turn
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals // whoever asks twice does not want to wait
		os.Exit(exitFailed)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
