package typescript

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/receipt"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// testTime is the time limit for one run. The first run downloads the npm packages.
const testTime = 5 * time.Minute

// build installs the npm packages, compiles the program in a folder of its own, and returns the path of the compiled program.
func build(ctx context.Context, t *testing.T) string {
	t.Helper()
	if err := localstores.Programs(ctx, os.Stderr, map[string]string{"node": "nodejs", "npm": "npm"}); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(filepath.Join(folder, "src"), os.DirFS("src")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json", "tsconfig.json"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(ctx, t, folder, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	run(ctx, t, folder, nil, "node", filepath.Join("node_modules", "typescript", "bin", "tsc"))
	return filepath.Join(folder, "dist", "main.js")
}

// run returns the standard output of a program.
func run(ctx context.Context, t *testing.T, folder string, input []byte, program string, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(ctx, program, args...)
	command.Dir, command.Stdin, command.WaitDelay = folder, bytes.NewReader(input), 10*time.Second
	var output, errors bytes.Buffer
	command.Stdout, command.Stderr = &output, &errors
	if err := command.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s%s", program, args, err, &output, &errors)
	}
	return output.Bytes()
}

// receiptCase is a receipt for a tool server with the audience payments, and whether it proves wanted.
type receiptCase struct {
	name     string
	receipt  string
	wanted   wantedAction
	accepted bool
}

// wantedAction is the action that the tool server is about to run.
type wantedAction struct {
	Instance  string          `json:"instance"`
	Customer  string          `json:"customer"`
	Skill     string          `json:"skill"`
	Arguments json.RawMessage `json:"arguments"`
}

var (
	key      = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	audience = "payments"
	paid     = wantedAction{"instance-1", "customer-1", "payments.transfer", json.RawMessage(`{"to":"Zoë","amount":250.5,"list":[1e21,null]}`)}
)

// cases returns receipts that Go signed.
func cases(t *testing.T, issuer string) []receiptCase {
	a := action.Action{Instance: paid.Instance, Customer: paid.Customer, Skill: "Payments.Transfer", Audience: &audience, Arguments: string(paid.Arguments)}
	hash, err := a.Hash()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	claims := receipt.Claims{
		Issuer: issuer, Subject: a.Customer, Audience: audience, IssuedAt: now, ExpiresAt: now + 120, ID: "approval-1",
		Approved: receipt.Approved{Instance: a.Instance, Skill: a.Skill, ActionHash: hex.EncodeToString(hash[:]), ApprovedAt: now, Methods: []string{"pin"}},
	}
	sign := func(method jwt.SigningMethod, key any, typ, kid string, change func(*receipt.Claims)) string {
		changed := claims
		change(&changed)
		token := jwt.NewWithClaims(method, changed)
		token.Header["typ"], token.Header["kid"] = typ, kid
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := func(*receipt.Claims) {}
	changed := func(change func(*receipt.Claims)) string {
		return sign(jwt.SigningMethodEdDSA, key, receipt.Type, "first", change)
	}
	other := func(change func(*wantedAction)) wantedAction {
		wanted := paid
		change(&wanted)
		return wanted
	}
	valid := changed(same)
	return []receiptCase{
		{"valid", valid, paid, true},
		{"valid, names in another order", valid, other(func(a *wantedAction) {
			a.Arguments = json.RawMessage(`{"list":[1e21,null],"amount":250.50,"to":"Zo\u00eb"}`)
		}), true},
		{"another audience", changed(func(c *receipt.Claims) { c.Audience = "ledger" }), paid, false},
		{"no audience", changed(func(c *receipt.Claims) { c.Audience = "" }), paid, false},
		{"expired", changed(func(c *receipt.Claims) { c.IssuedAt -= 200; c.ExpiresAt -= 200 }), paid, false},
		{"another issuer", changed(func(c *receipt.Claims) { c.Issuer = "https://countersign.example" }), paid, false},
		{"no id", changed(func(c *receipt.Claims) { c.ID = "" }), paid, false},
		{"another typ", sign(jwt.SigningMethodEdDSA, key, "at+jwt", "first", same), paid, false},
		{"alg none", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, receipt.Type, "first", same), paid, false},
		{"HMAC with the public key", sign(jwt.SigningMethodHS256, []byte(key.Public().(ed25519.PublicKey)), receipt.Type, "first", same), paid, false},
		{"unknown kid", sign(jwt.SigningMethodEdDSA, key, receipt.Type, "second", same), paid, false},
		{"another amount", valid, other(func(a *wantedAction) {
			a.Arguments = json.RawMessage(`{"to":"Zoë","amount":250.51,"list":[1e21,null]}`)
		}), false},
		{"decomposed characters", valid, other(func(a *wantedAction) {
			a.Arguments = json.RawMessage(`{"to":"Zoe\u0308","amount":250.5,"list":[1e21,null]}`)
		}), false},
		{"another customer", valid, other(func(a *wantedAction) { a.Customer = "customer-2" }), false},
		{"another instance", valid, other(func(a *wantedAction) { a.Instance = "instance-2" }), false},
		{"another skill", valid, other(func(a *wantedAction) { a.Skill = "payments.refund" }), false},
	}
}

func TestTypeScriptAgrees(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	public := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != receipt.KeysPath {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"first","x":%q}]}`, public)
	}))
	defer issuer.Close()

	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "vectors", "action.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Accepted []json.RawMessage }
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors.Accepted) == 0 {
		t.Fatalf("reading the vectors: %v", err)
	}
	receipts := cases(t, issuer.URL)
	task := map[string]any{"vectors": vectors.Accepted, "issuer": issuer.URL, "audience": audience}
	var given []any
	for _, c := range receipts {
		given = append(given, map[string]any{"receipt": c.receipt, "action": c.wanted})
	}
	task["receipts"] = given
	input, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Hashes   []string
		Receipts []struct{ ID, Error string }
	}
	output := run(ctx, t, "", input, "node", build(ctx, t))
	if err := json.Unmarshal(output, &got); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if len(got.Hashes) != len(vectors.Accepted) || len(got.Receipts) != len(receipts) {
		t.Fatalf("%d hashes and %d receipts", len(got.Hashes), len(got.Receipts))
	}
	for i, vector := range vectors.Accepted {
		var want struct{ Name, Hash string }
		if err := json.Unmarshal(vector, &want); err != nil || got.Hashes[i] != want.Hash {
			t.Errorf("%s: TypeScript computes %s, want %s (%v)", want.Name, got.Hashes[i], want.Hash, err)
		}
	}
	verifier, err := receipt.NewVerifier(issuer.URL, audience, nil)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]bool{}
	for i, c := range receipts {
		r := got.Receipts[i]
		if accepted := r.Error == ""; accepted != c.accepted || accepted && r.ID != "approval-1" {
			t.Errorf("%s: TypeScript accepts: %t with the id %q, want %t (%s)", c.name, accepted, r.ID, c.accepted, r.Error)
		}
		_, err := verifier.Verify(ctx, c.receipt, action.Action{Instance: c.wanted.Instance, Customer: c.wanted.Customer, Skill: c.wanted.Skill, Arguments: string(c.wanted.Arguments)})
		if (err == nil) != c.accepted {
			t.Errorf("%s: Go accepts: %t, want %t (%v)", c.name, err == nil, c.accepted, err)
		}
		reasons[r.Error] = true
	}
	t.Logf("reasons of TypeScript: %q", slices.Sorted(maps.Keys(reasons)))
}
