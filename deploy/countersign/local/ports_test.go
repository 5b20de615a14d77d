package local

import (
	"slices"
	"testing"

	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/deploy/countersign/secrets"
)

func TestPortBase(t *testing.T) {
	for text, want := range map[string]int{"": defaultPortBase, "9480": 9480, "64530": 64530} {
		t.Setenv("PORT_BASE", text)
		if got, err := portBase(); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"80", "x", "64531", "-1"} {
		t.Setenv("PORT_BASE", text)
		if _, err := portBase(); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// A break-in at one service must not reveal the secrets of another.
func TestEachServiceGetsOnlyItsOwnSecrets(t *testing.T) {
	kept := secrets.Services{AuthDB: "db-1", PinAdminDB: "db-2", PinInternalDB: "db-3", AuthRedis: "redis-1", PinAdminRedis: "redis-2", PinInternalRedis: "redis-3", PinKeys: "pin-keys", AuthKeys: "auth-keys", KYCSumsub: "kyc"}
	services, err := newServices(8080, &stackStores{databaseURL: "postgres://owner:top@127.0.0.1:1/x", redisURL: "redis://:top@127.0.0.1:2/0", redisUsers: true}, folder.Folder("/x"), kept)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{
		{"postgres://countersign_auth:db-1@127.0.0.1:1/x", "redis://countersign_auth:redis-1@127.0.0.1:2/0", "auth-keys", ""},
		{"postgres://countersign_pin_admin:db-2@127.0.0.1:1/x", "redis://countersign_pin_admin:redis-2@127.0.0.1:2/0", "", "pin-keys"},
		{"postgres://countersign_pin_internal:db-3@127.0.0.1:1/x", "redis://countersign_pin_internal:redis-3@127.0.0.1:2/0", "", "pin-keys"},
	} {
		env := services[i].env
		if got := []string{env["DATABASE_URL"], env["REDIS_URL"], env["AUTH_KEYS"], env["PIN_KEYS"]}; !slices.Equal(got, want) {
			t.Errorf("%s gets %q", services[i].name, got)
		}
	}
}
