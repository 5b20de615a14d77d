package api_test

import (
	"slices"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// receiptKeys returns the ids in the answer of /.well-known/countersign-receipts.json, which needs no credential.
func (s *service) receiptKeys() (ids []string) {
	s.t.Helper()
	a := s.Want(s.Do(webtest.Request{Method: "GET", Path: "/.well-known/countersign-receipts.json"}), 200)
	if got := a.Header.Get("Cache-Control"); got != "public, max-age=300" {
		s.t.Errorf("Cache-Control is %q", got)
	}
	for _, one := range a.JSON("keys").([]any) {
		key := one.(map[string]any)
		if len(key) != 6 || key["kty"] != "OKP" || key["crv"] != "Ed25519" || key["alg"] != "EdDSA" || key["use"] != "sig" {
			s.t.Errorf("key %v", key)
		}
		ids = append(ids, key["kid"].(string))
	}
	return ids
}

func TestReceiptKeysArePublished(t *testing.T) {
	t.Parallel()
	s := newService(t)
	first := s.receiptKeys()
	if len(first) != 1 || !slices.Equal(s.receiptKeys(), first) {
		t.Fatalf("the first request must make one key: %v, then %v", first, s.receiptKeys())
	}
	s.people.Exec(`update receipt_keys set retired_at = now() - interval '14 minutes'`)
	if got := s.receiptKeys(); !slices.Equal(got, first) {
		t.Errorf("14 minutes after its end, the key is not published: %v", got)
	}
	s.people.Exec(`update receipt_keys set retired_at = now() - interval '17 minutes'`)
	if got := s.receiptKeys(); len(got) != 1 || got[0] == first[0] {
		t.Errorf("17 minutes after its end: %v, want another key than %s", got, first[0])
	}
	s.people.Exec(`delete from receipt_keys`)
	if got := s.receiptKeys(); len(got) != 1 {
		t.Errorf("after a revocation: %v", got)
	}
}
