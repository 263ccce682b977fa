#!/usr/bin/env bash
# Everything that is checked before a change goes in: formatting, vet, staticcheck, and all tests with the
# race detector, PostgreSQL and DoorFlow's SDK included. What is missing on a Debian machine is installed.
set -euo pipefail
cd "$(dirname "$0")"

# A suite that is skipped is a hole nobody sees: with CI=true the tests fail instead.
export CI=true

have() { command -v "$1" >/dev/null 2>&1; }
postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have initdb; }

packages=()
have gcc || packages+=(gcc libc6-dev)
have node && have npm || packages+=(nodejs npm)
have python3 || packages+=(python3)
have strace || packages+=(strace)
have chromium || packages+=(chromium fonts-dejavu-core)
have zsh || packages+=(zsh)
have fish || packages+=(fish)
have script || packages+=(bsdutils)
have promtool || packages+=(prometheus)
postgres || packages+=(postgresql)
if [ ${#packages[@]} -gt 0 ]; then
	if ! have apt-get; then
		echo "test.sh: please install: ${packages[*]}" >&2
		exit 1
	fi
	sudo=''
	[ "$(id -u)" -eq 0 ] || sudo=sudo
	$sudo apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

# The nats command-line client of the tests, in the version that .ci/tools/go.mod pins.
tools="${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse-tools"
go build -C .ci/tools -trimpath -o "$tools/nats" github.com/nats-io/natscli/nats
export PATH="$tools:$PATH"

echo '== formatting'
unformatted=$(go tool gofumpt -l .)
if [ -n "$unformatted" ]; then
	echo "not formatted, run: go tool gofumpt -w ." >&2
	echo "$unformatted" >&2
	exit 1
fi
echo '== go vet'
go vet ./...
echo '== staticcheck'
go tool staticcheck ./...
echo '== tests'
# Where there is room for it the tests' files lie in memory: each commit of SQLite waits for its sync, and a process that
# is killed loses no more there than on a disk. What a power loss would take is tested by the order of the system calls.
if [ "$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)" -gt 4194304 ] 2>/dev/null; then
	memory=$(mktemp -d /dev/shm/gatehouse-test-XXXXXX)
	trap 'rm -rf "$memory"' EXIT
	chmod 755 "$memory" # PostgreSQL does not run as root
	if install -m 755 "$(type -P true)" "$memory/true" && "$memory/true"; then
		rm "$memory/true"
		export TMPDIR=$memory
	fi
fi
# The slowest packages begin first, and more runs than there are processors: tests often wait. Vet has run.
go test -race -vet=off -timeout 20m -p "$(($(nproc) + 1))" -parallel "$((2 * $(nproc)))" "$@" ./cmd/gatehouse ./sharing ./webhooks ./...
