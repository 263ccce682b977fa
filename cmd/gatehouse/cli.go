package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"gatehouse/apikeys"
	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands is the whole command line. The groups are the headings of the help.
type commands struct {
	Demo     demoCommand      `cmd:"" group:"Try it:" help:"Show everything at work, with a simulated DoorFlow and Doordeck. Needs nothing but this program."`
	Simulate simulateCommands `cmd:"" group:"Try it:" help:"Run a stand-in for a cloud, for development."`
	Webhook  webhookCommands  `cmd:"" group:"Try it:" help:"Sign or send a webhook as DoorFlow would."`
	Bench    benchCommands    `cmd:"" group:"Try it:" help:"Measure how fast this machine is."`

	Serve       serveCommand       `cmd:"" group:"Run a gateway:" help:"Run the gateway."`
	Doctor      doctorCommand      `cmd:"" group:"Run a gateway:" help:"Show the effective configuration and check each part of it."`
	Migrate     migrateCommands    `cmd:"" group:"Run a gateway:" help:"Bring the database to this program's schema, or show where it stands."`
	Keys        keyCommands        `cmd:"" group:"Run a gateway:" help:"Show the keys that seal secrets at rest, or exchange them."`
	Healthcheck healthcheckCommand `cmd:"" group:"Run a gateway:" help:"Exit 0 when the gateway on this machine is ready. For containers."`

	Connect     connectCommand     `cmd:"" group:"Accounts and messages:" help:"Make a link that connects a customer's DoorFlow account."`
	Connections connectionCommands `cmd:"" group:"Accounts and messages:" help:"List, show or disconnect connected accounts."`
	Messages    messageCommands    `cmd:"" group:"Accounts and messages:" help:"Follow, list or replay what the gateway says."`
	Endpoints   endpointCommands   `cmd:"" group:"Accounts and messages:" help:"Make, list, change, test or delete the URLs that messages are delivered to."`

	Identities identityCommands  `cmd:"" group:"Doors:" help:"Make, register, verify or delete the Doordeck administrators that the gateway signs as."`
	Doors      doorsCommand      `cmd:"" group:"Doors:" help:"List an identity's doors, show one, or who has it."`
	Share      shareCommand      `cmd:"" group:"Doors:" help:"Share a door with people."`
	Revoke     revokeCommand     `cmd:"" group:"Doors:" help:"Take a door away from people."`
	Unlock     unlockCommand     `cmd:"" group:"Doors:" help:"Open a door now."`
	Operations operationCommands `cmd:"" group:"Doors:" help:"List what was asked of doors, or show what became of it."`

	APIKeys   apiKeyCommands    `cmd:"" group:"Who may do what:" name:"api-keys" help:"Make, list or revoke the keys that programs call with."`
	NATS      natsCommands      `cmd:"" group:"Who may do what:" name:"nats" help:"Credentials for programs that use the embedded NATS server."`
	Dashboard dashboardCommands `cmd:"" group:"Who may do what:" help:"Sign in to the dashboard."`
	Audit     auditCommands     `cmd:"" group:"Who may do what:" help:"Show who did what, or prove that the audit log is whole."`

	Help       helpCommand       `cmd:"" group:"This program:" help:"Show how a command is used."`
	Completion completionCommand `cmd:"" group:"This program:" help:"Print what lets a shell complete the commands: bash, zsh or fish."`
	Complete   completeCommand   `cmd:"" group:"This program:" name:"__complete" hidden:"" passthrough:""`
	Version    versionCommand    `cmd:"" group:"This program:" help:"Show which program this is."`
}

// run is the program. It returns the exit code; what went wrong is one line on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	exit := -1
	parser, err := newParser(ctx, &terminal{stdout, stderr}, func(c int) { exit = c; panic(stopParsing{}) })
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return exitFailed
	}
	defer func() {
		if r := recover(); r != nil {
			if _, help := r.(stopParsing); !help {
				panic(r)
			}
			code = exit
		}
	}()
	if err := unknownVariables(parser.Model, os.Environ()); err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return exitUsage
	}
	if len(args) > 0 && args[0] == "--version" {
		args = append([]string{"version"}, args[1:]...)
	}
	parsed, err := parser.Parse(args)
	if err == nil {
		err = emptyFlag(parsed)
	}
	if err != nil {
		return refuse(parser, args, err)
	}
	if err := parsed.Run(); err != nil {
		if usedWrongly(err) {
			fmt.Fprintln(stderr, "gatehouse:", oneLine(err))
			return exitUsage
		}
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		if !errors.Is(err, errReported) {
			fmt.Fprintln(stderr, "gatehouse:", oneLine(err))
		}
		return exitFailed
	}
	return exitDone
}

// newParser reads the command line and the environment for t. It calls exit when it has printed its help.
func newParser(ctx context.Context, t *terminal, exit func(int)) (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("gatehouse"),
		kong.Description("A webhook and event gateway for physical access control. Every flag is also a GATEHOUSE_… variable; a secret may come from a file named by GATEHOUSE_…_FILE."),
		kong.DefaultEnvars("GATEHOUSE"),
		kong.Vars{"scopes": strings.Join(apikeys.Scopes(), ", ")},
		kong.Writers(t.out, t.err),
		kong.Exit(exit),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.Resolvers(secretFiles{}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
	)
}

// stopParsing unwinds kong when it has printed its help.
type stopParsing struct{}

// errReported ends a command with exit code 1 when it has already said why.
var errReported = errors.New("reported")

// usageError is for arguments that kong cannot judge.
type usageError string

func (e usageError) Error() string { return string(e) }

// usedWrongly tells whether a value that was given cannot be right, whoever found it: this program, or the gateway.
func usedWrongly(err error) bool {
	refused, _ := errors.AsType[problem](err)
	return errors.As(err, new(usageError)) || errors.As(err, new(*invalid.Error)) || refused.Status == http.StatusBadRequest && !refused.foreign
}

// emptyFlag refuses a flag that is given empty, as by a script whose variable is not set: it would count as absent, and
// a list would not be narrowed, or a key never end. A pointer is for a flag that may be emptied; the configuration, whose
// flags are variables too, judges its own: an empty address turns a listener off.
func emptyFlag(parsed *kong.Context) error {
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved && len(p.Flag.Envs) == 0 && p.Flag.Target.Kind() == reflect.String && parsed.FlagValue(p.Flag) == "" {
			return usageError("--" + p.Flag.Name + ": want a value, or leave it out")
		}
	}
	return nil
}

// oneLine keeps an error on one line, whatever it was made of, and from driving the terminal.
func oneLine(err error) string { return printable(strings.Join(strings.Fields(err.Error()), " ")) }

// secretFiles reads the value of a secret flag from the file that its variable's NAME_FILE names.
type secretFiles struct{}

func (secretFiles) Validate(*kong.Application) error { return nil }

func (secretFiles) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name := secretVariable(flag)
	path, ok := os.LookupEnv(name + "_FILE")
	if name == "" || !ok {
		return nil, nil
	}
	if _, both := os.LookupEnv(name); both {
		return nil, fmt.Errorf("%s and %s_FILE: want one of them", name, name)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s_FILE: %w", name, err)
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" { // it would count as not set, and something else would be taken in its place
		return nil, fmt.Errorf("%s_FILE: %s is empty", name, path)
	}
	return value, nil
}

// secretVariable is the variable of a flag that holds a secret, "" for others.
func secretVariable(flag *kong.Flag) string {
	if _, secret := flag.Target.Interface().(vault.Secret); !secret || len(flag.Envs) == 0 {
		return ""
	}
	return flag.Envs[0]
}

// unknownVariables refuses a GATEHOUSE_ variable that no command has: most likely it is misspelt, and
// something that was meant to be set is not.
func unknownVariables(app *kong.Application, environ []string) error {
	known := map[string]bool{}
	for _, leaf := range app.Leaves(false) {
		for _, flag := range leaf.Flags {
			for _, name := range flag.Envs {
				known[name] = true
			}
			if name := secretVariable(flag); name != "" {
				known[name+"_FILE"] = true
			}
		}
	}
	slices.Sort(environ)
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "GATEHOUSE_") && !known[name] {
			return fmt.Errorf("%s: unknown variable; gatehouse serve --help lists them all", name)
		}
	}
	return nil
}
