package action

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vector is an entry of docs/vectors/action.json. docs/vectors/README.md explains the fields.
type vector struct {
	Name      string
	Instance  string
	Customer  string
	Skill     string
	Audience  *string
	Arguments string
	Base64    []byte `json:"arguments_base64"`
	Repeat    *struct {
		Before, Text, After string
		Times               int
	} `json:"arguments_repeat"`
	Canonical string `json:"canonical_arguments"`
	Hash      string
}

func (v vector) input() string {
	switch {
	case v.Base64 != nil:
		return string(v.Base64)
	case v.Repeat != nil:
		return v.Repeat.Before + strings.Repeat(v.Repeat.Text, v.Repeat.Times) + v.Repeat.After
	default:
		return v.Arguments
	}
}

func readVectors(t *testing.T) (accepted, refused []vector) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "vectors", "action.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Accepted, Refused []vector }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Accepted) < 20 || len(file.Refused) < 30 {
		t.Fatalf("the file has %d and %d vectors", len(file.Accepted), len(file.Refused))
	}
	return file.Accepted, file.Refused
}

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	accepted, refused := readVectors(t)
	for _, v := range accepted {
		canonical, err := Canonical([]byte(v.input()))
		if err != nil || v.Canonical != "" && canonical != v.Canonical {
			t.Errorf("%s: Canonical = %s, %v, want %s", v.Name, canonical, err, v.Canonical)
		}
		for _, arguments := range []string{v.input(), canonical} {
			a := Action{Instance: v.Instance, Customer: v.Customer, Skill: v.Skill, Audience: v.Audience, Arguments: arguments}
			if h, err := a.Hash(); err != nil || hex.EncodeToString(h[:]) != v.Hash {
				t.Errorf("%s: hash %x, %v, want %s", v.Name, h, err, v.Hash)
			}
		}
	}
	for _, v := range refused {
		if canonical, err := Canonical([]byte(v.input())); err == nil {
			t.Errorf("%s: Canonical = %.100s, want an error", v.Name, canonical)
		}
	}
}
