package skill_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestCatalogReadsAVersionOnce(t *testing.T) {
	t.Parallel()
	database := storetest.Postgres(t)
	people := storetest.NewPeople(t, database)
	instance := people.Instance()
	store := skill.Store{DB: database.Open(t, schema.RolePinAdmin)}
	reader := database.Open(t, schema.RolePinInternal)
	catalog := skill.NewCatalog(reader)

	title, closed := "Pay", `{"additionalProperties":false}`
	first, _ := put(t, store, instance, skill.Skill{Name: "Pay", Mode: skill.Approval, Title: &title, Arguments: &closed})
	registered := skill.Registered{Name: first.Name, Mode: first.Mode, Version: uuid.NullUUID{UUID: first.Version, Valid: true}}
	d, err := catalog.Definition(t.Context(), instance, registered)
	if err != nil || *d.Title != title {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := d.Canonical([]byte(`{"a":1}`)); err == nil {
		t.Error("arguments outside the schema are accepted")
	}

	second, _ := put(t, store, instance, skill.Skill{Name: "Pay", Mode: skill.Approval})
	if d, err := catalog.Definition(t.Context(), instance, registered); err != nil || *d.Title != title {
		t.Errorf("a version that was read before: %+v, %v", d, err)
	}
	if _, err := skill.NewCatalog(reader).Definition(t.Context(), instance, registered); !errors.Is(err, skill.ErrChanging) {
		t.Errorf("an old version: %v, want ErrChanging", err)
	}
	registered.Version.UUID = second.Version
	if d, err := catalog.Definition(t.Context(), instance, registered); err != nil || d.Title != nil {
		t.Errorf("the new version: %+v, %v", d, err)
	}
	if d, err := catalog.Definition(t.Context(), instance, skill.Registered{}); err != nil || d.Title != nil {
		t.Errorf("an unregistered skill: %+v, %v", d, err)
	}
	registered.Version.UUID = uuid.New()
	if _, err := catalog.Definition(t.Context(), people.Instance(), registered); !errors.Is(err, skill.ErrChanging) {
		t.Errorf("another instance: %v, want ErrChanging", err)
	}
}
