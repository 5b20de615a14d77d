package schema_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// The test fails if Grants parses a migration wrongly, or if a role that is not a service role has a privilege.
func TestGrantsOfMigrationsAndDatabaseAgree(t *testing.T) {
	t.Parallel()
	want, err := schema.Grants()
	if err != nil {
		t.Fatal(err)
	}
	got, err := schema.Granted(t.Context(), storetest.Postgres(t).Open(t, "").DB)
	if err != nil {
		t.Fatal(err)
	}
	roles := slices.Sorted(maps.Keys(got))
	if services := slices.Sorted(slices.Values(schema.Roles)); !slices.Equal(roles, services) {
		t.Errorf("the roles with privileges are %v, want %v", roles, services)
	}
	for role := range want {
		if !slices.Equal(got[role], want[role]) {
			t.Errorf("%s: the migrations grant\n%s\nthe database grants\n%s", role, strings.Join(want[role], "\n"), strings.Join(got[role], "\n"))
		}
	}
	if !slices.Contains(want[schema.RolePinInternal], "update (last_used_at) on proxy_keys") {
		t.Errorf("a column's privilege is missing in %q", want[schema.RolePinInternal])
	}
	if !slices.Contains(want[schema.RolePinAdmin], "execute on prune_audit") {
		t.Errorf("a function's privilege is missing in %q", want[schema.RolePinAdmin])
	}
}
