package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

func ExampleClient_Confirm() {
	server := httptest.NewServer(client.Double()) // in a program: the URL of pin-internal
	defer server.Close()
	countersign, err := client.New(client.Config{URL: server.URL, Instance: "instance-1", ProxyKey: client.NewSecret("csp_canary_proxy_key")})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()

	confirmation, err := countersign.Confirm(ctx, client.Action{
		Customer:  "customer-1",
		Skill:     "payments.transfer",
		Arguments: map[string]any{"to": "Bob", "amount": "250.00"},
		Show: func(_ context.Context, a client.Approval) error {
			fmt.Println("Please open", a.URL.Reveal()) // send this to the person, not to the model
			return nil
		},
	})
	var refusal *client.Refusal
	switch {
	case err == nil:
		fmt.Println("The transfer runs with", confirmation.Arguments)
	case errors.Is(err, client.Denied):
		fmt.Println("The person said no.")
	case errors.As(err, &refusal) && refusal.Code == client.PINLocked:
		fmt.Println("The PIN is locked until", refusal.LockedUntil)
	default:
		fmt.Println("Not possible at the moment:", err)
	}
	// Output:
	// Please open https://countersign.example/approve#cap_canary_link
	// The transfer runs with {"amount":"250.00","to":"Bob"}
}

// The operations beneath Confirm, for a program that keeps the state of each execution itself.
func ExampleClient_Use() {
	server := httptest.NewServer(client.Double())
	defer server.Close()
	countersign, err := client.New(client.Config{URL: server.URL, Instance: "instance-1", ProxyKey: client.NewSecret("csp_canary_proxy_key")})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	arguments := []byte(`{"to":"Bob","amount":"250.00"}`)
	asked, err := countersign.Ask(ctx, client.Action{Customer: "customer-1", Skill: "payments.transfer", Arguments: map[string]any{"to": "Bob", "amount": "250.00"}})
	if err != nil || asked.Status == client.StatusNotRequired {
		fmt.Println(asked.Status, err)
		return
	}
	if _, err := countersign.Wait(ctx, asked.ID); err != nil {
		fmt.Println(err)
		return
	}
	useID := client.NewUseID() // store it with the execution: after a restart, the same id gives the same receipt
	for range 2 {
		confirmation, err := countersign.Use(ctx, asked.ID, useID, arguments)
		fmt.Println(confirmation.Receipt.Reveal(), err)
	}
	_, err = countersign.Use(ctx, asked.ID, client.NewUseID(), arguments)
	fmt.Println(errors.Is(err, client.Used))
	// Output:
	// receipt.canary.1 <nil>
	// receipt.canary.1 <nil>
	// true
}
