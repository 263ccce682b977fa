package egress_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Proxies that nobody runs: what used them would not arrive.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		os.Setenv(name, "http://127.0.0.1:1")
	}
	goleak.VerifyTestMain(m)
}
