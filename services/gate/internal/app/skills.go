package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/services/gate/internal/tools"
)

// listTime limits the listing of a server's tools. npx may have to download the server.
const listTime = 60 * time.Second

const skillsHelp = `skills lists the tools of a server and proposes how to register them as skills: with the mode open if the server says that the tool
only reads, session if it says that the tool destroys nothing, and otherwise approval. The summary shows the required arguments.

The annotations, titles and names come from the server. They prove nothing: read the proposals before you store them.

  countersign-gate skills -- npx -y @modelcontextprotocol/server-filesystem /srv/files

With --apply, it registers the skills that are not registered yet. It needs --admin-url, --instance and an API key with the scope
admin in COUNTERSIGN_ADMIN_KEY, or in a file that COUNTERSIGN_ADMIN_KEY_FILE names. The exit code is 1 if a skill could not be stored.

If the server at --upstream needs an access token, set COUNTERSIGN_GATE_UPSTREAM_TOKEN or COUNTERSIGN_GATE_UPSTREAM_TOKEN_FILE.`

type skills struct {
	server   server
	adminURL *url.URL
	instance string
	prefix   connection

	asJSON, apply, overwrite bool
}

func (p Program) skillsCommand() *cobra.Command {
	var s skills
	cmd := &cobra.Command{
		Use: "skills [flags] -- COMMAND [ARGUMENT]...\n  countersign-gate skills [flags] --upstream URL", DisableFlagsInUseLine: true,
		Short: "List the tools of a server, and register them as skills", Long: skillsHelp, Args: onlyAfterDash,
	}
	f := p.flags(cmd)
	s.server.add(f)
	s.prefix.addPrefix(f)
	f.set.BoolVar(&s.asJSON, "json", false, "print JSON: an array with a proposal for each tool")
	f.set.BoolVar(&s.apply, "apply", false, "register the skills that are not registered yet")
	f.set.BoolVar(&s.overwrite, "overwrite", false, "with --apply: also replace skills that are registered, with everything an admin wrote")
	f.url(&s.adminURL, "admin-url", "COUNTERSIGN_ADMIN_URL", "with --apply: the URL of pin-admin")
	f.id(&s.instance, "instance", "COUNTERSIGN_INSTANCE", "with --apply: the instance of the agent")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.fill(); err != nil {
			return err
		}
		if err := s.server.setCommand(args); err != nil {
			return err
		}
		return s.run(cmd.Context(), p)
	}
	return cmd
}

func (s skills) run(ctx context.Context, p Program) error {
	admin, err := s.admin(newEnvironment(p.Env))
	if err != nil {
		return err
	}
	all, err := s.server.list(ctx, p)
	if err != nil {
		return err
	}
	proposals := tools.Propose(all, s.prefix.skillPrefix)
	switch {
	case s.apply:
		return s.store(ctx, admin, proposals, p.Out)
	case s.asJSON:
		return printJSON(p.Out, proposals)
	}
	return printProposals(p.Out, proposals)
}

// admin returns nil if nothing must be stored.
func (s skills) admin(env environment) (*tools.Admin, error) {
	if !s.apply {
		if s.overwrite {
			return nil, usageError{errors.New("--overwrite needs --apply")}
		}
		return nil, nil
	}
	key, err := env.secret("COUNTERSIGN_ADMIN_KEY")
	switch {
	case err != nil:
		return nil, err
	case s.asJSON:
		return nil, usageError{errors.New("--json and --apply must not both be set")}
	case s.adminURL == nil:
		return nil, missing("admin-url", "COUNTERSIGN_ADMIN_URL")
	case s.instance == "":
		return nil, missing("instance", "COUNTERSIGN_INSTANCE")
	case key.Reveal() == "":
		return nil, usageError{errors.New("the API key is missing: set COUNTERSIGN_ADMIN_KEY or COUNTERSIGN_ADMIN_KEY_FILE")}
	}
	return tools.NewAdmin(s.adminURL, s.instance, key), nil
}

// store registers the skills, and returns an error if one of them could not be stored. It continues after a skill that is refused.
func (s skills) store(ctx context.Context, admin *tools.Admin, proposals []tools.Proposal, out io.Writer) error {
	failed := 0
	for _, p := range proposals {
		what := "registered as " + p.Body.Mode
		if p.Problem != "" {
			failed++
			what = "NOT registered: " + p.Problem
		} else if stored, err := admin.Store(ctx, p, s.overwrite); errors.Is(err, tools.ErrAll) || ctx.Err() != nil {
			return err
		} else if err != nil {
			failed++
			what = "NOT registered: " + err.Error()
		} else if !stored {
			what = "is registered already, and stays as it is"
		}
		fmt.Fprintf(out, "%s: %s\n", tools.Printable(p.Skill), what)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d skills could not be registered", failed, len(proposals))
	}
	return nil
}

func printJSON(out io.Writer, proposals []tools.Proposal) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(proposals); err != nil {
		return fmt.Errorf("printing the proposals: %w", err)
	}
	return nil
}

func printProposals(out io.Writer, proposals []tools.Proposal) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SKILL\tREADS ONLY\tDESTROYS\tMODE\tSUMMARY")
	for _, p := range proposals {
		summary := "-"
		if p.Body.Summary != nil {
			summary = tools.Printable(*p.Body.Summary)
		}
		if p.Problem != "" {
			summary = "cannot be registered: " + p.Problem
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", tools.Printable(p.Skill), hint(p.Annotations.ReadOnly), hint(p.Annotations.Destructive), p.Body.Mode, summary)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the proposals: %w", err)
	}
	_, err := fmt.Fprintln(out, "\nThe server says what its tools read and destroy. This proves nothing: check the modes before you store them with --apply.")
	return err
}

func hint(b *bool) string {
	switch {
	case b == nil:
		return "-"
	case *b:
		return "yes"
	}
	return "no"
}
