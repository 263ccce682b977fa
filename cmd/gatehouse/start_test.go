package main_test

import (
	"bytes"
	"context"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const databasePassword = "database-password-Jw5Kx8Np2T"

// fails starts a gateway that cannot start, and wants one clear line on stderr and the exit code: 1 when
// something around it is wrong, 2 when the configuration is.
func (g *gateway) fails(t *testing.T, code int, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "serve")
	g.fill(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("the gateway did not end; it said:\n%s", &stderr)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	line := strings.TrimSuffix(stderr.String(), "\n")
	if !strings.HasPrefix(line, "gatehouse: ") || strings.Contains(line, "\n") || stdout.Len() > 0 {
		t.Errorf("want one line on stderr and nothing on stdout, got\n%s\nand\n%s", &stderr, &stdout)
	}
	for _, word := range words {
		if !strings.Contains(line, word) {
			t.Errorf("the line does not name %q: %s", word, line)
		}
	}
	for _, secret := range []string{clientSecret, webhookSecret, adminToken, databasePassword} {
		if strings.Contains(line, secret) {
			t.Error("the line shows a secret")
		}
	}
}

func (g *gateway) fill(cmd *exec.Cmd) {
	// Only what goes wrong is of interest here.
	env := maps.Clone(g.env)
	env["GATEHOUSE_LOG_LEVEL"] = "error"
	cmd.Env = environment(env)
}

func TestWrongConfigurationEndsTheStart(t *testing.T) {
	for _, row := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"misspelt variable", map[string]string{"GATEHOUSE_DOORFLOW_CLIENT_SECRTE": "x"}, "GATEHOUSE_DOORFLOW_CLIENT_SECRTE"},
		{"address without port", map[string]string{"GATEHOUSE_ADDR": "localhost"}, "GATEHOUSE_ADDR"},
		{"admin address without port", map[string]string{"GATEHOUSE_ADMIN_ADDR": "8081"}, "GATEHOUSE_ADMIN_ADDR"},
		{"two listeners, one address", map[string]string{"GATEHOUSE_ADMIN_ADDR": "127.0.0.1:7", "GATEHOUSE_OPS_ADDR": "127.0.0.1:7"}, "GATEHOUSE_OPS_ADDR: want another address than GATEHOUSE_ADMIN_ADDR"},
		{"http beyond loopback", map[string]string{"GATEHOUSE_PUBLIC_URL": "http://gate.example.com"}, "GATEHOUSE_PUBLIC_URL"},
		{"API over http", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": "http://api.example.com"}, "GATEHOUSE_DOORFLOW_API_URL"},
		{"tolerance", map[string]string{"GATEHOUSE_DOORFLOW_WEBHOOK_TOLERANCE": "-1s"}, "GATEHOUSE_DOORFLOW_WEBHOOK_TOLERANCE"},
		{"catching up off", map[string]string{"GATEHOUSE_DOORFLOW_CATCHUP": "0"}, "GATEHOUSE_DOORFLOW_CATCHUP"},
		{"silence", map[string]string{"GATEHOUSE_DOORFLOW_SILENCE": "1s"}, "GATEHOUSE_DOORFLOW_SILENCE"},
		{"rate", map[string]string{"GATEHOUSE_DOORFLOW_RATE": "0"}, "GATEHOUSE_DOORFLOW_RATE"},
		{"not a duration", map[string]string{"GATEHOUSE_RETENTION": "a week"}, "retention"},
		{"log level", map[string]string{"GATEHOUSE_LOG_FORMAT": "xml"}, "GATEHOUSE_LOG_FORMAT"},
		{"empty webhook secret", map[string]string{"GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS": "a-secret,,b-secret"}, "GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS"},
		{"credential numbers", map[string]string{"GATEHOUSE_CREDENTIAL_NUMBERS": "show"}, "credential-numbers"},
		{"half of TLS", map[string]string{"GATEHOUSE_TLS_CERT_FILE": "cert.pem"}, "GATEHOUSE_TLS_KEY_FILE"},
		{"half of a client certificate", map[string]string{"GATEHOUSE_EGRESS_KEY_FILE": "key.pem"}, "GATEHOUSE_EGRESS_CERT_FILE"},
		{"everything allowed", map[string]string{"GATEHOUSE_EGRESS_ALLOW": "10.0.0.0/8,0.0.0.0/0"}, "GATEHOUSE_EGRESS_ALLOW: 0.0.0.0/0 is everything"},
		{"a network by an address in it", map[string]string{"GATEHOUSE_EGRESS_ALLOW": "10.1.2.3/8"}, "want 10.0.0.0/8"},
		{"an address for a network", map[string]string{"GATEHOUSE_EGRESS_ALLOW": "10.1.2.3"}, "egress-allow"},
		{"NATS in clear", map[string]string{"GATEHOUSE_NATS_URL": "nats://nats.example.com:4222"}, "GATEHOUSE_NATS_URL"},
		{"replicas of the embedded server", map[string]string{"GATEHOUSE_NATS_REPLICAS": "3"}, "GATEHOUSE_NATS_REPLICAS"},
		{"not PostgreSQL", map[string]string{"GATEHOUSE_DATABASE_URL": "mysql://x"}, "GATEHOUSE_DATABASE_URL"},
		{"PostgreSQL without a key set", map[string]string{"GATEHOUSE_DATABASE_URL": "postgres://x"}, "GATEHOUSE_KEYSET_FILE"},
		{"PostgreSQL without an admin token", map[string]string{
			"GATEHOUSE_DATABASE_URL": "postgres://x", "GATEHOUSE_KEYSET_FILE": "keyset.json", "GATEHOUSE_ADMIN_TOKEN": "",
		}, "GATEHOUSE_ADMIN_TOKEN"},
		{"secret without id", map[string]string{"GATEHOUSE_DOORFLOW_CLIENT_ID": ""}, "GATEHOUSE_DOORFLOW_CLIENT_ID"},
		{"secret twice", map[string]string{"GATEHOUSE_ADMIN_TOKEN_FILE": os.DevNull}, "GATEHOUSE_ADMIN_TOKEN_FILE"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newGateway(t, row.env)
			g.fails(t, 2, row.want)
			if _, err := os.Stat(g.data); err == nil {
				t.Error("the data directory was made although the configuration is wrong")
			}
		})
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	const name = "GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS"
	g := newGateway(t, nil)
	delete(g.env, name)
	g.env[name+"_FILE"] = filepath.Join(t.TempDir(), "secret")
	g.fails(t, 2, name+"_FILE", "no such file")
	if err := os.WriteFile(g.env[name+"_FILE"], []byte(webhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	if status, _, err := post(t.Context(), probe, g.url, newLoad().webhook().body); status != http.StatusOK || err != nil {
		t.Errorf("a webhook signed with the file's secret: %d %v", status, err)
	}
}

func TestWhatIsWrongAroundItEndsTheStart(t *testing.T) {
	t.Parallel()
	t.Run("egress files", func(t *testing.T) {
		newGateway(t, map[string]string{"GATEHOUSE_EGRESS_CA_FILE": os.DevNull}).fails(t, 1, "GATEHOUSE_EGRESS_CA_FILE", os.DevNull)
		newGateway(t, map[string]string{"GATEHOUSE_EGRESS_CERT_FILE": os.DevNull, "GATEHOUSE_EGRESS_KEY_FILE": os.DevNull}).fails(t, 1, "GATEHOUSE_EGRESS_CERT_FILE")
	})
	t.Run("taken port", func(t *testing.T) {
		g := newGateway(t, nil)
		taken, err := net.Listen("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		g.fails(t, 1, "GATEHOUSE_ADDR", g.addr, "address already in use")
	})
	t.Run("taken admin port", func(t *testing.T) {
		g := newGateway(t, nil)
		g.env["GATEHOUSE_ADMIN_ADDR"] = strings.Replace(g.addr, "127.0.0.1", "localhost", 1) // its own, by another name
		g.fails(t, 1, "GATEHOUSE_ADMIN_ADDR", "address already in use")
	})
	t.Run("second process", func(t *testing.T) {
		g := newGateway(t, nil).start()
		second := newGateway(t, map[string]string{"GATEHOUSE_DATA_DIR": g.data})
		second.fails(t, 1, g.data, "in use by another")
		if g.gone() || g.get("/readyz") != http.StatusOK {
			t.Error("the first process suffered")
		}
	})
	t.Run("unreachable NATS", func(t *testing.T) {
		newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": "nats://" + freeAddr(t)}).fails(t, 1, "NATS")
	})
	t.Run("unreachable PostgreSQL", func(t *testing.T) {
		g := newGateway(t, map[string]string{
			"GATEHOUSE_DATABASE_URL": "postgres://u:" + databasePassword + "@" + freeAddr(t) + "/x", "GATEHOUSE_KEYSET_FILE": newKeyset(t),
		})
		g.fails(t, 1, "PostgreSQL")
	})
	t.Run("read-only data directory", readOnlyDirectory)
	t.Run("data directory is a file", func(t *testing.T) {
		g := newGateway(t, nil)
		if err := os.WriteFile(g.data, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		g.fails(t, 1, g.data)
	})
	t.Run("full disk", func(t *testing.T) {
		disk := smallDisk(t, t.TempDir(), "size=4m")
		fill(t, filepath.Join(disk, "ballast"))
		g := newGateway(t, map[string]string{"GATEHOUSE_DATA_DIR": filepath.Join(disk, "data")})
		g.fails(t, 1, "data")
	})
}

// readOnlyDirectory starts the gateway as somebody who may not write there. Root may write anywhere.
func readOnlyDirectory(t *testing.T) {
	dir, err := os.MkdirTemp("", "gatehouse-readonly-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, map[string]string{"GATEHOUSE_DATA_DIR": dir})
	cmd := exec.CommandContext(t.Context(), binary, "serve")
	if os.Geteuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Dir = "/"
	g.fill(cmd)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); os.Geteuid() != 0 && code == 0 {
		t.Fatalf("exit code %d", code)
	}
	if line := strings.TrimSpace(string(out)); cmd.ProcessState.ExitCode() != 1 || strings.Contains(line, "\n") || !strings.Contains(line, dir) {
		t.Errorf("exit code %d, output:\n%s", cmd.ProcessState.ExitCode(), out)
	}
}

// The key set opens what is sealed in the database. Whatever is wrong with it, nothing may be changed: with
// the right file all is well again.
func TestKeysetMustFitTheDatabase(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil).start()
	g.stop()
	path := filepath.Join(g.data, "keyset.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(newKeyset(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		data []byte
		mode os.FileMode
		want string
	}{
		{"corrupt", good[:len(good)/2], 0o600, "damaged"},
		{"empty", nil, 0o600, "damaged"},
		{"wrong", other, 0o600, "not the one this database was sealed with"},
		{"open to others", good, 0o644, "chmod 600"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := os.WriteFile(path, row.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, row.mode); err != nil {
				t.Fatal(err)
			}
			g.fails(t, 1, path, row.want)
		})
	}
	t.Run("missing", func(t *testing.T) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		g.fails(t, 1, path, "is missing")
		if _, err := os.Stat(path); err == nil {
			t.Error("a new key set was made, which opens nothing of this database")
		}
	})
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
}

// The machine may be busy with other things for a while. A gateway that takes longer by itself does so every time.
func TestReadyWithinASecond(t *testing.T) {
	best := time.Hour
	for range 30 {
		g := newGateway(t, nil)
		began := time.Now()
		g.start()
		best = min(best, time.Since(began))
		g.stop()
		if best <= time.Second {
			break
		}
	}
	t.Logf("ready in %s", best)
	if best > time.Second {
		t.Errorf("ready after %s", best)
	}
}
