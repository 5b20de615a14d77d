package database

import (
	"io"
	"net/url"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/localstores"
)

// The owner of the database is not a superuser, but may apply the migrations.
func TestOwnerIsCreatedAndMigrates(t *testing.T) {
	t.Parallel()
	server, err := localstores.StartPostgres(t.Context(), localstores.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/stack"
	for _, password := range []string{"first", "second"} {
		u.User = url.UserPassword("keeper", password)
		if err := EnsureOwner(t.Context(), server.URL, u.String(), io.Discard); err != nil {
			t.Fatal(err)
		}
		db, err := Open(t.Context(), u.String())
		if err != nil {
			t.Fatalf("with the %s password: %v", password, err)
		}
		defer db.Close()
		if err := Prepare(t.Context(), db, Passwords{Auth: password}, 0); err != nil {
			t.Fatal(err)
		}
		var super bool
		if err := db.QueryRow(`select rolsuper from pg_roles where rolname = current_user`).Scan(&super); err != nil || super {
			t.Errorf("the owner is a superuser: %v, %v", super, err)
		}
	}
	if err := EnsureOwner(t.Context(), server.URL, "postgres://127.0.0.1/", io.Discard); err == nil {
		t.Error("an address without a user and a database was accepted")
	}
}
