package doordeck

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

var errNoConnection = errors.New("no connection came about in time")

// reaching is a request on its way to a connection, which has to be made, or to be free.
type reaching struct {
	asked, got atomic.Bool
	timer      *time.Timer // nil where it may take as long as the call
}

// reach gives a request up that has no connection within a time; 0 means never.
func reach(ctx context.Context, within time.Duration) (context.Context, *reaching) {
	r := &reaching{}
	if within != 0 {
		limited, giveUp := context.WithCancelCause(ctx) // ends with ctx
		ctx, r.timer = limited, time.AfterFunc(within, func() {
			if !r.got.Load() {
				giveUp(errNoConnection)
			}
		})
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { r.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) {
			if r.got.Store(true); r.timer != nil {
				r.timer.Stop()
			}
		},
	}), r
}

// inVain tells whether no connection came about, so that nothing can have been sent.
func (r *reaching) inVain() bool { return r.asked.Load() && !r.got.Load() }
