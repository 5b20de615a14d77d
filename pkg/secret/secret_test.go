package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/secret"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	type form struct{ Tokens []secret.Text }
	request := struct {
		Email    string
		Password secret.Text
		Body     *form
	}{"a@example.test", secret.New("canary"), &form{[]secret.Text{secret.New("canary")}}}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&printed, verb+" "+verb+" "+verb+"\n", request, request.Password, &request.Password)
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(encoded)
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("request", "request", request, "password", request.Password)
	slog.New(slog.NewTextHandler(&printed, nil)).Info("request", "request", request, "password", request.Password)
	for _, leak := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary"), fmt.Sprint([]byte("canary"))} {
		if strings.Contains(printed.String(), leak) {
			t.Errorf("printed %q in\n%s", leak, printed.String())
		}
	}
}

func TestSecretIsUnmarshalled(t *testing.T) {
	t.Parallel()
	var zero, read secret.Text
	if err := json.Unmarshal([]byte(`"canary"`), &read); err != nil || read.Reveal() != "canary" || zero.Reveal() != "" {
		t.Errorf("read %q and %q, %v", read.Reveal(), zero.Reveal(), err)
	}
}
