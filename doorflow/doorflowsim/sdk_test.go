package doorflowsim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gatehouse/doorflow/doorflowsim"
)

// TestOfficialSDK lets DoorFlow's own client library judge the simulation. It is the one outside witness we
// have, so it may be skipped on a desk without Node but never in CI.
func TestOfficialSDK(t *testing.T) {
	skip := t.Skip
	if os.Getenv("CI") == "true" {
		skip = t.Fatal
	}
	if os.Getenv("GATEHOUSE_SDK_TEST") == "off" {
		skip("GATEHOUSE_SDK_TEST=off: not running DoorFlow's SDK against the simulation")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			skip("not running DoorFlow's SDK against the simulation:", err)
		}
	}
	if _, err := os.Stat(filepath.Join("sdktest", "node_modules", "doorflow")); err != nil {
		sdkCommand(t, "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
	}
	c := newCloud(t, func(o *doorflowsim.Options) { o.PublicURL = "" })
	c.run()
	sdkCommand(t, "node", "sdk.test.mjs",
		"SIM_URL="+c.url, "SIM_CLIENT_ID="+clientID, "SIM_CLIENT_SECRET="+clientSecret,
		"SIM_REDIRECT_URI="+redirectURI, "SIM_WEBHOOK_SECRET="+webhookSecret)
	if got := c.Stats(); got.Refreshes != 1 || got.Revokes != 1 {
		t.Errorf("refreshes, revokes = %d, %d, want 1 each", got.Refreshes, got.Revokes)
	}
}

// sdkCommand runs a program in the SDK's folder. Arguments with an equals sign and no dash become variables.
func sdkCommand(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir, cmd.Env = "sdktest", os.Environ()
	for _, arg := range args {
		if arg[0] >= 'A' && arg[0] <= 'Z' {
			cmd.Env = append(cmd.Env, arg)
		} else {
			cmd.Args = append(cmd.Args, arg)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}
