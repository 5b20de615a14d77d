// Package app is the program countersign-gate: its settings, its commands, and what they start.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes. With a command as the server, the gate ends with the exit code of the command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Program is one run of countersign-gate.
type Program struct {
	Version string
	// Args are the arguments without the name of the program. Env has the form of os.Environ.
	Args, Env []string
	In        io.Reader
	Out, Err  io.Writer
}

// usageError says that the arguments or the settings are wrong. The program has done nothing.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode ends the program with this code. What happened is already printed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

const rootHelp = `countersign-gate runs in front of an MCP server. It holds the calls of protected tools until the person has approved exactly
that call, at a link with their PIN. Everything else passes unchanged. The policy of the agent's instance says which tools are
protected; a tool is judged as the skill with its name.

The server is a command, which speaks MCP over standard input and output, or the URL of a server with streamable HTTP:

  countersign-gate [flags] -- npx -y @modelcontextprotocol/server-filesystem /srv/files
  countersign-gate [flags] --upstream http://127.0.0.1:3000/mcp --listen 127.0.0.1:8090

Every flag can also be given as the environment variable in parentheses. The flag wins. The proxy key has no flag:

  COUNTERSIGN_PROXY_KEY       the proxy key of the instance; or COUNTERSIGN_PROXY_KEY_FILE, the path of a file with it

The server does not get the variables COUNTERSIGN_…. Logs are JSON lines on standard error, without arguments of calls and without links.

Exit codes:
  0  done; with a command, its own exit code
  1  failed
  2  wrong flag, setting or argument; nothing was done`

// Run runs the program and returns its exit code.
func (p Program) Run(ctx context.Context) int {
	root := p.newRoot()
	root.SetArgs(p.Args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	started := false // cobra checks the arguments before it starts the command
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	cmd, err := root.ExecuteContextC(ctx)
	var code exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case !started || errors.As(err, &usageError{}):
		fmt.Fprintf(p.Err, "%s: %s\nRun '%[1]s --help' for help.\n", cmd.CommandPath(), err)
		return exitUsage
	}
	fmt.Fprintf(p.Err, "%s: %s\n", cmd.CommandPath(), err)
	return exitFailed
}

func (p Program) newRoot() *cobra.Command {
	g := newGateway(p)
	root := &cobra.Command{
		Use: "countersign-gate [flags] -- COMMAND [ARGUMENT]...\n  countersign-gate [flags] --upstream URL", DisableFlagsInUseLine: true,
		Short: "Hold protected tool calls of an MCP server until the person has approved them", Long: rootHelp,
		Version: buildVersion(p.Version), Args: onlyAfterDash, SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetVersionTemplate("countersign-gate {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.Flags().SetInterspersed(false)
	root.Flags().SortFlags = false
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	f := p.flags(root)
	g.add(f)
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.fill(); err != nil {
			return err
		}
		return g.run(cmd.Context(), args)
	}
	root.AddCommand(p.skillsCommand(), p.hookCommand(), p.healthCommand())
	return root
}

func (p Program) flags(cmd *cobra.Command) flags {
	return flags{cmd.Flags(), newEnvironment(p.Env)}
}

// flagError returns an error that does not repeat the value of a flag.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return usageError{fmt.Errorf("--%s %w", invalid.GetFlag().Name, errors.Unwrap(err))}
	}
	return usageError{err}
}

// onlyAfterDash accepts arguments only after --.
func onlyAfterDash(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
		return usageError{fmt.Errorf("unexpected argument %q: write -- before the command of the server", args[0])}
	}
	return nil
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
