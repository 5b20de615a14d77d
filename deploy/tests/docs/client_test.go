package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/receipt"
)

const demoPIN = "4378"

// agent returns a client for the demo's instance. The demo's customer has a PIN.
func agent(t *testing.T) *client.Client {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, stack.PinAdminURL+"/v1/customers/"+stack.CustomerID+"/pin", strings.NewReader(`{"pin":"`+demoPIN+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", stack.APIKey)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		t.Fatalf("setting the PIN: status %d", answer.StatusCode)
	}
	c, err := client.New(client.Config{URL: stack.PinInternalURL, Instance: stack.InstanceID, ProxyKey: client.NewSecret(stack.ProxyKey)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answers returns a function that opens the link and gives the PINs, or denies if there are none.
func answers(t *testing.T, pins ...string) func(context.Context, client.Approval) error {
	return func(ctx context.Context, a client.Approval) error {
		program := filepath.Join(stackFolder, ".local", "bin", "countersign")
		if len(pins) == 0 {
			command := exec.CommandContext(ctx, program, "approve", "--deny")
			command.Stdin = strings.NewReader(a.URL.Reveal() + "\n")
			return command.Run()
		}
		for _, pin := range pins {
			command := exec.CommandContext(ctx, program, "approve")
			command.Stdin = strings.NewReader(a.URL.Reveal() + "\n" + pin + "\n")
			var output bytes.Buffer
			command.Stdout, command.Stderr = &output, &output
			if err := command.Run(); (err == nil) != (pin == demoPIN) {
				t.Errorf("approving with %s: %v\n%s", pin, err, &output)
			}
		}
		return nil
	}
}

func payment(amount string, show func(context.Context, client.Approval) error) client.Action {
	to := map[string]any{"name": "Bob", "iban": "DE89370400440532013000"}
	return client.Action{
		Customer: stack.CustomerID, Skill: "Payments.Transfer", Arguments: map[string]any{"amount": amount, "currency": "EUR", "to": to}, Show: show,
	}
}

// The client against the services of the stack. The steps run one after another, because they share the customer's limits.
func TestClientConfirms(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := agent(t)
	verifier, err := receipt.NewVerifier(stack.PinAdminURL, "payments", nil)
	if err != nil {
		t.Fatal(err)
	}

	confirmed, err := c.Confirm(ctx, payment("10.00", answers(t, "9517", demoPIN)))
	if err != nil {
		t.Fatalf("a wrong PIN, then the right one: %v", err)
	}
	paid := action.Action{Instance: stack.InstanceID, Customer: stack.CustomerID, Skill: "payments.transfer", Arguments: confirmed.Arguments}
	claims, err := verifier.Verify(ctx, confirmed.Receipt.Reveal(), paid)
	if err != nil || claims.ID != confirmed.ApprovalID || claims.Approved.ActionHash != confirmed.ActionHash {
		t.Errorf("the receipt: %+v, %v", claims, err)
	}
	paid.Arguments = strings.Replace(paid.Arguments, "10.00", "90.00", 1)
	if _, err := verifier.Verify(ctx, confirmed.Receipt.Reveal(), paid); !errors.Is(err, receipt.ErrInvalid) {
		t.Errorf("the receipt for another amount: %v", err)
	}
	if _, err := c.Use(ctx, confirmed.ApprovalID, client.NewUseID(), json.RawMessage(confirmed.Arguments)); !errors.Is(err, client.Used) {
		t.Errorf("a second use: %v", err)
	}

	_, err = c.Confirm(ctx, payment("11.00", answers(t, "9517", "9517")))
	var refusal *client.Refusal
	if !errors.As(err, &refusal) || refusal.Code != client.Denied || refusal.Reason != "wrong_pin" {
		t.Errorf("two wrong PINs: %v", err)
	}

	_, err = c.Confirm(ctx, payment("12.00", answers(t)))
	if !errors.As(err, &refusal) || refusal.Code != client.Denied || refusal.Reason != "person" {
		t.Errorf("denied: %v", err)
	}
	_, err = c.Confirm(ctx, payment("12.00", answers(t)))
	if !errors.As(err, &refusal) || refusal.Code != client.DeniedRecently || refusal.RetryAfter <= 0 || refusal.Detail == "" {
		t.Errorf("asked again: %v", err)
	}

	bad := payment("13", answers(t))
	if _, err := c.Confirm(ctx, bad); !errors.As(err, &refusal) || refusal.Code != client.Invalid || !strings.Contains(refusal.Detail, "amount") {
		t.Errorf("arguments outside the schema: %v", err)
	}

	statement := client.Action{Customer: stack.CustomerID, Skill: "accounts.statement", Show: answers(t, demoPIN)}
	session, err := c.Confirm(ctx, statement)
	if err != nil || session.Session.Reveal() == "" || session.SessionExpiresAt.IsZero() {
		t.Fatalf("a session skill: %+v, %v", session, err)
	}
	statement.Session = session.Session
	if again, err := c.Confirm(ctx, statement); err != nil || !again.NotRequired {
		t.Errorf("with the session: %+v, %v", again, err)
	}
	if open, err := c.Confirm(ctx, client.Action{Customer: stack.CustomerID, Skill: "rates.read", Show: answers(t)}); err != nil || !open.NotRequired {
		t.Errorf("an open skill: %+v, %v", open, err)
	}

	asked, err := c.Ask(ctx, payment("14.00", nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Cancel(ctx, asked.ID); err != nil {
			t.Errorf("cancelling: %v", err)
		}
	}
	if state, err := c.Get(ctx, asked.ID); err != nil || state.Status != client.StatusCancelled {
		t.Errorf("after the cancellation: %+v, %v", state, err)
	}
}

// Two runtimes that confirm the same action at the same time get one permission.
func TestClientConfirmsOnceInParallel(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := agent(t)
	first, err := c.Ask(ctx, payment("20.00", nil))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	shown, results := make(chan client.Approval, 5), make(chan error, 5)
	same := payment("20.00", func(_ context.Context, a client.Approval) error { shown <- a; return nil })
	for range cap(results) {
		group.Go(func() {
			_, err := c.Confirm(ctx, same)
			results <- err
		})
	}
	for range cap(shown) {
		select {
		case a := <-shown:
			if a.ID != first.ID || a.URL.Reveal() != first.URL.Reveal() {
				t.Errorf("the approval is %s, want %s", a.ID, first.ID)
			}
		case <-ctx.Done():
			t.Fatal("an approval was not shown")
		}
	}
	if err := answers(t, demoPIN)(ctx, first); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	confirmed := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			confirmed++
		case !errors.Is(err, client.Used):
			t.Error(err)
		}
	}
	if confirmed != 1 {
		t.Errorf("%d permissions, want 1", confirmed)
	}
}
