package receipt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

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

func ExampleEndpoint_Require() {
	issuer, text, stop := receipt.Double() // in a program: the URL of Countersign's pages
	defer stop()

	verifier, err := receipt.NewVerifier(issuer, "payments", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	approved, err := receipt.Endpoint{
		Verifier: verifier, Instance: "instance-1", Skill: "payments.transfer",
		Customer: func(r *http.Request) (string, error) { return "customer-1", nil }, // from what authenticates the request
		Once:     receipt.InProcess(),                                                // with several processes: insert the id into a unique column
	}.Require()
	if err != nil {
		fmt.Println(err)
		return
	}
	transfer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := receipt.FromContext(r.Context())
		fmt.Fprintln(w, "transfer, approved as", claims.ID)
	})
	mux := http.NewServeMux()
	mux.Handle("POST /transfer", approved(transfer))

	for _, sent := range []string{"", text, text} {
		r := httptest.NewRequest(http.MethodPost, "/transfer", strings.NewReader(`{"to":"Bob","amount":"250.00"}`))
		r.Header.Set(receipt.Header, sent)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 401 {"code":"insufficient_user_authentication","detail":"This action needs the approval of the person. Send one receipt in the header Countersign-Receipt"}
	// 200 transfer, approved as approval-1
	// 409 {"code":"receipt_used","detail":"The receipt was used before. The action may have run"}
}
