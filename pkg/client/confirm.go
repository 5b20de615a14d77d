package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// cancelTime limits the cancellation after Show failed.
const cancelTime = 10 * time.Second

// Confirm asks for an approval of the action, shows the link to the person, waits for the answer, and uses the approval. Run the skill
// only if the error is nil, once, and with Confirmation.Arguments. Every *Refusal is a no; errors.Is with a Code distinguishes them.
// Any other error means that there is no answer, which is also a no.
//
// Confirm waits until the person answers, the approval expires, or ctx ends. If ctx ends, the approval stays: while it is pending,
// the same Action again waits for the same approval. Call Cancel to end it.
func (c *Client) Confirm(ctx context.Context, a Action) (Confirmation, error) {
	if a.Show == nil {
		return Confirmation{}, errors.New("confirming an action: the action has no function Show")
	}
	arguments, err := a.canonical()
	if err != nil {
		return Confirmation{}, err
	}
	a.Arguments = json.RawMessage(arguments)
	approval, err := c.Ask(ctx, a)
	if err != nil {
		return Confirmation{}, err
	}
	if approval.Status == StatusNotRequired {
		return Confirmation{NotRequired: true, Reason: approval.Reason, Arguments: arguments}, nil
	}
	asked := approval
	if err := a.Show(ctx, asked); err != nil {
		return Confirmation{}, errors.Join(fmt.Errorf("showing the link: %w", err), c.cancelUnseen(ctx, asked.ID))
	}
	if approval, err = c.Wait(ctx, asked.ID); err != nil {
		return Confirmation{}, err
	}
	if approval.Status != StatusApproved {
		return Confirmation{}, &Refusal{Code: Code("approval_" + approval.Status), Reason: approval.Reason}
	}
	// From here on, the use id makes a repeated request safe.
	used, err := c.Use(ctx, asked.ID, NewUseID(), json.RawMessage(arguments))
	if err != nil {
		return Confirmation{}, err
	}
	if used.ActionHash != "" && used.ActionHash != asked.ActionHash {
		return Confirmation{}, errors.New("asking countersign: the receipt is about another action")
	}
	return used, nil
}

// cancelUnseen cancels an approval that the person cannot answer without the link, also if ctx has ended.
func (c *Client) cancelUnseen(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer cancel()
	return c.Cancel(ctx, id)
}
