package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/countersign/countersign/deploy/countersign/person"
	"github.com/countersign/countersign/pkg/secret"
)

func approveCommand() *cobra.Command {
	var a approve
	cmd := &cobra.Command{
		Use: "approve [flags] [LINK]", Short: "Answer an approval as the person, without a browser",
		Long: `approve opens the link of an approval, shows what the agent asks, reads the PIN and sends the decision. It sends the same
requests as the page of the link.

Without LINK, the first line of standard input is the link. In a terminal, approve asks for the PIN and does not show it. Otherwise
the next line of standard input is the PIN. Exit code 0 says that the decision counts.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("at most one link is possible")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &answers{in: cmd.InOrStdin(), lines: bufio.NewReader(cmd.InOrStdin()), prompts: cmd.ErrOrStderr()}
			return a.run(cmd.Context(), args, in, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&a.deny, "deny", false, "say no; this needs no PIN")
	cmd.Flags().StringVar(&a.url, "url", "", "the URL of pin-admin, if the link's own server is not reachable from here")
	return cmd
}

type approve struct {
	deny bool
	url  string
}

func (a approve) run(ctx context.Context, args []string, in *answers, out io.Writer) error {
	text := secret.New(strings.Join(args, ""))
	if len(args) == 0 {
		var err error
		if text, err = in.hidden(ctx, "Link: "); err != nil {
			return err
		}
	}
	link, err := person.ParseLink(text.Reveal(), a.url)
	if err != nil {
		return usageError{err}
	}
	view, err := link.Open(ctx)
	if err != nil {
		return fmt.Errorf("opening the link: %w", err)
	}
	if view.Status != "pending" {
		return fmt.Errorf("nothing to decide: this approval is %s%s", person.Printable(view.Status), because(view.Reason))
	}
	if err := view.Print(out); err != nil {
		return err
	}
	if a.deny {
		decision, err := link.Deny(ctx, view)
		if err != nil {
			return fmt.Errorf("denying: %w", err)
		}
		return report(out, decision, "denied")
	}
	if err := canApprove(view); err != nil {
		return err
	}
	for {
		pin, err := in.hidden(ctx, "Your PIN: ")
		if err != nil {
			return err
		}
		decision, err := link.Approve(ctx, view, pin)
		if err != nil {
			return fmt.Errorf("approving: %w", err)
		}
		if decision.Status == "pending" && in.terminal() && decision.Error != nil && *decision.Error == "invalid_pin" {
			fmt.Fprintln(out, "The PIN is wrong. One more wrong PIN ends the link.")
			continue
		}
		return report(out, decision, "approved")
	}
}

// canApprove returns an error if a PIN would be refused at this link.
func canApprove(v person.View) error {
	switch {
	case v.PIN.State == "not_set":
		return errors.New("you have no PIN yet: ask for an enrolment link")
	case v.PIN.State == "locked" && v.PIN.LockedUntil != nil:
		return fmt.Errorf("the PIN is locked until %s", v.PIN.LockedUntil.Local().Format("2006-01-02 15:04:05"))
	case v.PIN.State != "active":
		return errors.New("the PIN is deactivated: an admin must set it again")
	case v.KnownBrowserRequired:
		return errors.New("this approval is possible only in a browser in which you gave your PIN before")
	}
	return nil
}

// report prints the decision's outcome. It returns an error unless the status is the wanted one.
func report(out io.Writer, d person.Decision, wanted string) error {
	if d.Status == wanted {
		_, err := fmt.Fprintf(out, "\nThe request is %s.\n", wanted)
		return err
	}
	var problem string
	if d.Error != nil {
		problem = *d.Error
	}
	switch {
	case problem == "invalid_pin" && d.Status == "pending":
		return errors.New("the PIN is wrong; one more wrong PIN ends the link")
	case problem == "invalid_pin":
		return errors.New("the PIN is wrong, and this link has no further attempt")
	case problem == "pin_locked" && d.LockedUntil != nil:
		return fmt.Errorf("the PIN is locked until %s", d.LockedUntil.Local().Format("2006-01-02 15:04:05"))
	case problem == "pin_inactive":
		return errors.New("the PIN is deactivated: an admin must set it again")
	case problem == "pin_not_set":
		return errors.New("you have no PIN yet: ask for an enrolment link")
	}
	return fmt.Errorf("the request is %s%s", person.Printable(d.Status), because(d.Reason))
}

func because(reason *string) string {
	if reason == nil {
		return ""
	}
	return " (" + person.Printable(*reason) + ")"
}

// answers reads what the person types. Nothing that is typed is shown.
type answers struct {
	in      io.Reader
	lines   *bufio.Reader
	prompts io.Writer
}

func (a *answers) terminal() bool {
	file, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// hidden returns the next line: from the terminal, after a prompt and without echo, or else from standard input.
func (a *answers) hidden(ctx context.Context, prompt string) (secret.Text, error) {
	if a.terminal() {
		fmt.Fprint(a.prompts, prompt)
		defer fmt.Fprintln(a.prompts)
		return readHidden(ctx, int(a.in.(*os.File).Fd()))
	}
	line, err := a.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, fmt.Errorf("reading standard input: %w", err)
	}
	return notEmpty(strings.TrimRight(line, "\r\n"))
}

// readHidden reads a line without echo. When ctx ends, it turns the echo on again; the read then ends with the program.
func readHidden(ctx context.Context, terminal int) (secret.Text, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return secret.Text{}, fmt.Errorf("reading the terminal's state: %w", err)
	}
	type result struct {
		line []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := term.ReadPassword(terminal)
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		if r.err != nil {
			return secret.Text{}, fmt.Errorf("reading the terminal: %w", r.err)
		}
		return notEmpty(string(r.line))
	case <-ctx.Done():
		return secret.Text{}, errors.Join(errors.New("interrupted, so nothing was decided"), term.Restore(terminal, before))
	}
}

func notEmpty(line string) (secret.Text, error) {
	if line == "" {
		return secret.Text{}, errors.New("nothing was typed, so nothing was decided")
	}
	return secret.New(line), nil
}
