package receipt_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/receipt"
)

func ExampleVerifier_Verify() {
	issuer, text, stop := receipt.Double() // in a program: the URL of Countersign's pages, and the receipt that the caller sent
	defer stop()

	verifier, err := receipt.NewVerifier(issuer, "payments", nil) // once, when the program starts
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, arguments := range []string{`{"to":"Bob","amount":"250.00"}`, `{"to":"Bob","amount":"950.00"}`} {
		claims, err := verifier.Verify(context.Background(), text, action.Action{
			Instance: "instance-1", Customer: "customer-1", Skill: "payments.transfer", Arguments: arguments,
		})
		switch {
		case errors.Is(err, receipt.ErrInvalid):
			fmt.Println("403: this is not what was approved")
		case err != nil:
			fmt.Println("503: the receipt cannot be checked now")
		default:
			// Insert claims.ID into a table in which it is unique. Only if the insert succeeds:
			fmt.Println("transfer, approved as", claims.ID)
		}
	}
	// Output:
	// transfer, approved as approval-1
	// 403: this is not what was approved
}
