package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/hook"
	"github.com/countersign/countersign/services/gate/internal/state"
)

const hookHelp = `hook answers the question of an agent whether it may use a tool. It is for agents that start a program before each call of a tool, as
Claude Code does with PreToolUse, also for tools that are not MCP tools. It reads the call from standard input, for example

  {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "make deploy"}}

and prints {"hookSpecificOutput": {"permissionDecision": "allow" or "deny", …}}. The first answer to a protected call is deny, with the
link for the person. The same call again waits for the person. A call that the policy does not protect gets no decision, so that the
agent's own rules and questions stay.

Every problem is a deny. The answer comes at most 8 seconds after --wait; give the hook more time than that in the settings of the
agent, because some agents go on when a hook takes too long.

Sessions and open approvals are kept in --state, encrypted with a key from the proxy key.`

type hookCommand struct {
	connection  connection
	holding     holding
	state       string
	unprotected string
}

func (p Program) hookCommand() *cobra.Command {
	env := newEnvironment(p.Env)
	h := hookCommand{holding: newHolding(), state: stateFolder(env), unprotected: "ask"}
	cmd := &cobra.Command{Use: "hook [flags]", DisableFlagsInUseLine: true, Short: "Answer the permission hook of an agent", Long: hookHelp, Args: cobra.ArbitraryArgs}
	f := p.flags(cmd)
	h.connection.add(f)
	f.duration(&h.holding.wait, 0, 10*time.Minute, "wait", "COUNTERSIGN_WAIT", "how long a call waits for the person")
	f.size(&h.holding.maxMessage, kibibyte, 64*mebibyte, "max-message", "COUNTERSIGN_MAX_MESSAGE", "the size of the largest input")
	f.text(&h.state, "state", "COUNTERSIGN_GATE_STATE", "folder", "the folder that keeps what the next call needs")
	f.choice(&h.unprotected, []string{"ask", "allow"}, "unprotected", "COUNTERSIGN_GATE_UNPROTECTED",
		"a call that the policy does not protect: the agent's own rules decide (ask), or it is allowed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := errors.Join(noArguments(cmd, args), f.fill())
		if err == nil {
			err = h.run(cmd.Context(), p)
		}
		if err != nil { // the agent must not go on
			return blocked(err, p.Out)
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return blocked(flagError(cmd, err), p.Out)
	})
	return cmd
}

// blocked denies the call and ends the program with code 2, whatever failed: Claude Code lets a call run after every other code except 0,
// and does not read the answer then.
func blocked(err error, out io.Writer) error {
	hook.Deny(hook.Unclear(err.Error())).Write(out) //nolint:errcheck // the code denies too
	return usageError{err}
}

func (h hookCommand) run(ctx context.Context, p Program) error {
	client, err := h.connection.open(newEnvironment(p.Env))
	if err != nil {
		return err
	}
	who, err := h.connection.person()
	if err != nil {
		return err
	}
	if h.state == "" {
		return missing("state", "COUNTERSIGN_GATE_STATE")
	}
	sealer, err := hold.NewSealer(h.connection.proxyKey)
	if err != nil {
		return err
	}
	kept, err := state.Open(h.state, sealer)
	if err != nil {
		return usageError{err}
	}
	answer := hook.Run(ctx, hook.Settings{
		Client: client, State: kept, Person: who, Audience: h.connection.audience, SkillPrefix: h.connection.skillPrefix,
		Wait: h.holding.wait, MaxInput: h.holding.maxMessage, AllowUnprotected: h.unprotected == "allow",
	}, p.In)
	if err := kept.Problem(); err != nil {
		fmt.Fprintf(p.Err, "countersign-gate hook: %s\n", err)
	}
	return answer.Write(p.Out)
}

// stateFolder returns the folder for the state of the user's programs, or "" if there is none.
func stateFolder(env environment) string {
	if folder := env("XDG_STATE_HOME"); filepath.IsAbs(folder) {
		return filepath.Join(folder, "countersign-gate")
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "countersign-gate")
	}
	return ""
}
