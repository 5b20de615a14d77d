package kyc

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestStrangersWaitForAPlace(t *testing.T) {
	t.Parallel()
	k := New(Config{Sumsub: []string{"SoMe_SeCrEt_KeY"}}, nil, prometheus.NewRegistry())
	signed := http.Header{"X-Payload-Digest": {"f6e92ffe371718694d46e28436f76589312df8db"}, "X-Payload-Digest-Alg": {"HMAC_SHA1_HEX"}}
	hungUp := errors.New("hung up")
	for range maxUnproved + 1 { // each leaves its place, whatever became of it
		if _, err := k.Authenticate(t.Context(), signed, "", func() ([]byte, error) { return []byte("someText"), nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Authenticate(t.Context(), signed, "", func() ([]byte, error) { return nil, hungUp }); err != hungUp {
			t.Fatal(err)
		}
	}
	for range maxUnproved {
		k.unproved <- struct{}{}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := k.Authenticate(gone, signed, "", func() ([]byte, error) {
		t.Error("a body was read that has no place")
		return nil, nil
	})
	if err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
