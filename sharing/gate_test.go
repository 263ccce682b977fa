package sharing_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// gate stands before a cloud, and can be shut: then nobody listens there, and no connection is left.
type gate struct {
	t      testing.TB
	addr   string
	behind string
	mu     sync.Mutex
	l      net.Listener
	conns  []net.Conn
	wg     sync.WaitGroup
}

// gated puts a gate before a cloud, for whoever is told its URL from now on.
func gated(t testing.TB, c *cloud) *gate {
	t.Helper()
	g := &gate{t: t, addr: "127.0.0.1:0", behind: strings.TrimPrefix(c.url, "http://")}
	g.open()
	c.url = "http://" + g.addr
	t.Cleanup(g.shut)
	return g
}

func (g *gate) open() {
	g.t.Helper()
	l, err := net.Listen("tcp", g.addr)
	must(g.t, err)
	g.addr, g.l = l.Addr().String(), l
	g.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.pass(conn)
		}
	})
}

func (g *gate) pass(conn net.Conn) {
	far, err := net.Dial("tcp", g.behind)
	if err != nil {
		_ = conn.Close()
		return
	}
	g.mu.Lock()
	g.conns = append(g.conns, conn, far)
	g.mu.Unlock()
	for _, pair := range [][2]net.Conn{{conn, far}, {far, conn}} {
		g.wg.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = pair[0].Close(), pair[1].Close()
		})
	}
}

func (g *gate) shut() {
	_ = g.l.Close()
	g.mu.Lock()
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
	g.mu.Unlock()
	g.wg.Wait()
}
