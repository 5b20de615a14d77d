package kyc

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestUnverifiedBodiesAreLimited(t *testing.T) {
	t.Parallel()
	k := New(Config{Vendors: Vendors{Sumsub: Sumsub{Secrets: []string{"SoMe_SeCrEt_KeY"}}}}, nil, prometheus.NewRegistry())
	signed := http.Header{"X-Payload-Digest": {"f6e92ffe371718694d46e28436f76589312df8db"}, "X-Payload-Digest-Alg": {"HMAC_SHA1_HEX"}}
	disconnected := errors.New("disconnected")
	for range maxUnverified + 1 { // each request releases its place, also after an error
		if _, err := k.Authenticate(t.Context(), signed, "", func() ([]byte, error) { return []byte("someText"), nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Authenticate(t.Context(), signed, "", func() ([]byte, error) { return nil, disconnected }); err != disconnected {
			t.Fatal(err)
		}
	}
	for range maxUnverified {
		k.unverified <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := k.Authenticate(ctx, signed, "", func() ([]byte, error) {
		t.Error("a body was read although no place was free")
		return nil, nil
	})
	if err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
