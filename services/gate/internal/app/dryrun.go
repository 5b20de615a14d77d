package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/tools"
)

// checkTime limits one question to Countersign, with its repetitions.
const checkTime = 10 * time.Second

// dryRun prints what the policy would do now with a call of each tool. It asks nobody for an approval.
func dryRun(ctx context.Context, c *client.Client, who client.Person, prefix string, all []tools.Tool, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOOL\tPOLICY\tREASON")
	for _, t := range all {
		need, err := check(ctx, c, who, prefix+t.Name)
		policy, reason := "open", need.Reason
		var refusal *client.Refusal
		switch {
		case errors.As(err, &refusal) && refusal.Code != client.Unauthorized && refusal.Code != client.NotFound:
			policy, reason = "refused", hold.Explain(err)
		case err != nil: // the next tool would give the same error
			return explain(err)
		case need.Reason == client.ReasonApprovalNeeded:
			policy = "approval"
		case need.Required:
			policy = "session"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", tools.Printable(t.Name), policy, reason)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the policy: %w", err)
	}
	return nil
}

func check(ctx context.Context, c *client.Client, who client.Person, skill string) (client.Requirement, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return c.CheckRequired(ctx, who, skill, client.Secret{})
}

// explain adds which settings to check to an error that every call would get.
func explain(err error) error {
	switch {
	case errors.Is(err, client.Unauthorized):
		return fmt.Errorf("%w; check COUNTERSIGN_PROXY_KEY and --countersign-url", err)
	case errors.Is(err, client.NotFound):
		return fmt.Errorf("%w; check --instance, --customer and --countersign-url", err)
	}
	return fmt.Errorf("%w; check --countersign-url", err)
}
