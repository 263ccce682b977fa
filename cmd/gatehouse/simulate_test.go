package main_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// simulator is `gatehouse simulate doordeck` in a process of its own.
type simulator struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr strings.Builder
	url    string
}

func startDoordeck(t *testing.T, args ...string) *simulator {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s := &simulator{t: t, cmd: exec.CommandContext(ctx, binary, append([]string{"simulate", "doordeck", "--addr", "127.0.0.1:0"}, args...)...)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out, s.cmd.Stderr = bufio.NewReader(out), &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.url = s.line(regexp.MustCompile(`^Doordeck stand-in on (http://\S+)\. `))
	return s
}

// line reads on until one matches.
func (s *simulator) line(wanted *regexp.Regexp) string {
	s.t.Helper()
	for {
		line, err := s.out.ReadString('\n')
		if m := wanted.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		if err != nil {
			s.t.Fatalf("no line like %s: %v\n%s", wanted, err, s.stderr.String())
		}
	}
}

// stop ends it as Ctrl-C would and returns its exit code.
func (s *simulator) stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, s.out)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

func (s *simulator) ask(token, method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// adasToken is signed with the key that the simulator has written.
func adasToken(t *testing.T, path, issuer, kid string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("the key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	part := func(v map[string]any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	now := time.Now().Unix()
	signed := part(map[string]any{"alg": "EdDSA", "kid": kid}) + "." + part(map[string]any{
		"iss": issuer, "sub": "admin-ada", "aud": "https://api.doordeck.com", "iat": now, "exp": now + 3600,
		"email": "ada@example.test", "email_verified": true,
	})
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key.(ed25519.PrivateKey), []byte(signed)))
}

func TestSimulateDoordeck(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	args := []string{"--key-file", path, "--issuer", "https://acme.example/", "--key-id", "acme-1"}
	s := startDoordeck(t, args...)
	var exports strings.Builder
	for _, name := range []string{"API_URL", "ISSUER", "SIGNING_KEY_FILE", "KEY_ID"} {
		exports.WriteString(s.line(regexp.MustCompile(`^  export GATEHOUSE_DOORDECK_`+name+`=(\S+)`)) + " ")
	}
	if want := s.url + " https://acme.example/ " + path + " acme-1 "; exports.String() != want {
		t.Errorf("it says %s, want %s", exports.String(), want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("the key file has mode %v, error %v", info.Mode(), err)
	}
	token := adasToken(t, path, "https://acme.example/", "acme-1")
	if status, body := s.ask(token, "GET", "/device/shareable", ""); status != 200 || !strings.Contains(body, "Boat Shed") {
		t.Errorf("%d %s", status, body)
	}
	key := fmt.Sprintf(`{"ephemeralKey":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if status, body := s.ask(token, "POST", "/auth/certificate/verify", key); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	code := s.line(regexp.MustCompile(`^EMAIL to admin-ada: your code is (\d{6}), until `))
	s.ask(token+"x", "GET", "/device", "")
	if exit := s.stop(); exit != 0 {
		t.Errorf("it ended with %d:\n%s", exit, s.stderr.String())
	}
	log := s.stderr.String()
	if !strings.Contains(log, "token refused") || strings.Contains(log, token) || strings.Contains(log, code) {
		t.Errorf("it says:\n%s", log)
	}

	// Started again it uses the same key, and people keep their ids.
	again := startDoordeck(t, args...)
	if status, body := again.ask(token, "GET", "/device", ""); status != 200 {
		t.Errorf("after a restart: %d %s", status, body)
	}
	again.stop()
}

func TestSimulateDoordeckSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte("planted-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		exit int
		says string
		args []string
	}{
		{1, "is not PEM", []string{"--key-file", path}},
		{1, "writing the key", []string{"--key-file", filepath.Join(t.TempDir(), "missing", "key.pem")}},
		{1, "listening on 256.0.0.1:1", []string{"--addr", "256.0.0.1:1"}},
		{2, "--issuer: want a value", []string{"--issuer", ""}},
		{2, "Doordeck's own", []string{"--issuer", "https://api.doordeck.com/"}},
	} {
		cmd := exec.CommandContext(t.Context(), binary, append([]string{"simulate", "doordeck"}, test.args...)...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != test.exit || !strings.Contains(string(out), test.says) || strings.Contains(string(out), "planted-secret") {
			t.Errorf("%v: exit %d: %s", test.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}
