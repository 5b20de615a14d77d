package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/countersign/countersign/pkg/caller"
)

// The exit codes of every command, except stores, which ends with the code of the command that it runs.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const rootHelp = `countersign sets up, checks and maintains a deployment of Countersign. To try Countersign on this machine, run make run.

Settings come from the environment. Each setting NAME can also be given as NAME_FILE, the path of a file with the value.

Exit codes:
  0  done
  1  failed, or doctor found something wrong
  2  usage error: wrong command, flag or argument; nothing was done
stores ends with the exit code of the command that it runs.`

// usageError says that the arguments are wrong. The command has done nothing.
type usageError struct{ error }

// exitCode ends the program with this code. The command has already printed what happened.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// run runs the command with these arguments and returns its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	started := false // cobra checks the arguments before it starts the command
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	// The operator is the actor in the audit rows of this run.
	ctx = caller.NewContext(ctx, caller.Caller{Kind: caller.Operator, RequestID: uuid.NewString()})
	cmd, err := root.ExecuteContextC(ctx)
	var code exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case !started || errors.As(err, &usageError{}):
		fmt.Fprintf(errOut, "%s: %s\nRun '%[1]s --help' for help.\n", cmd.CommandPath(), err)
		return exitUsage
	}
	fmt.Fprintf(errOut, "%s: %s\n", cmd.CommandPath(), err)
	return exitFailed
}

// newRoot returns the command with all its subcommands. It reads no settings, so that --help and shell completion work without
// them.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "countersign", Short: "Operate Countersign", Long: rootHelp, Version: buildVersion(),
		RunE:          needSubcommand,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetHelpCommand(helpCommand(root))
	root.AddCommand(adminCommand(), approveCommand(), askCommand(), completionCommand(), demoCommand(), doctorCommand(), keysCommand(), kycCommand(),
		migrateCommand(), secretsCommand(), storesCommand(), upCommand())
	root.InitDefaultHelpCmd() // adds helpCommand now; cobra would add it only at the first run
	return root
}

// needSubcommand is the RunE of a command that does nothing without a subcommand. It returns a usage error.
func needSubcommand(cmd *cobra.Command, args []string) error {
	if err := noArguments(cmd, args); err != nil {
		return err
	}
	return usageError{errors.New("a command is missing")}
}

// noArguments refuses every argument.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasAvailableSubCommands() {
		return usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return usageError{fmt.Errorf("unexpected argument %q", args[0])}
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args)}
			}
			return cmd.Help()
		},
	}
}

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print a completion script for bash, zsh, fish or powershell",
		Long:      "completion prints a script that completes commands and flags in a shell. For bash:\n  source <(countersign completion bash)",
		ValidArgs: shells, Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			default:
				return root.GenPowerShellCompletionWithDesc(out)
			}
		},
	}
}
