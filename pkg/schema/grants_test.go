package schema_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// Whoever writes a migration whose grants are read wrongly, or leaves an open table behind, sees it here.
func TestTheMigrationsGrantWhatTheySay(t *testing.T) {
	t.Parallel()
	said, err := schema.Grants()
	if err != nil {
		t.Fatal(err)
	}
	done, err := schema.Granted(t.Context(), storetest.Postgres(t).Open(t, "").DB)
	if err != nil {
		t.Fatal(err)
	}
	roles := slices.Sorted(maps.Keys(done))
	if want := slices.Sorted(slices.Values(schema.Roles)); !slices.Equal(roles, want) {
		t.Errorf("granted to %v, want %v", roles, want)
	}
	for role, want := range said {
		if got := done[role]; !slices.Equal(got, want) {
			t.Errorf("%s: the migrations say\n%s\nthe database says\n%s", role, strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
	}
	if !slices.Contains(said[schema.RolePinInternal], "update (last_used_at) on proxy_keys") {
		t.Errorf("%q", said[schema.RolePinInternal])
	}
}
