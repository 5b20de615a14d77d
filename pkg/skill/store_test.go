package skill_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func newStore(t *testing.T) (skill.Store, storetest.People, uuid.UUID) {
	t.Helper()
	database := storetest.Postgres(t)
	people := storetest.NewPeople(t, database)
	return skill.Store{DB: database.Open(t, schema.RolePinAdmin)}, people, people.Instance()
}

func put(t *testing.T, s skill.Store, instance uuid.UUID, n skill.Skill) (skill.Skill, bool) {
	t.Helper()
	stored, created, err := s.Put(t.Context(), instance, n)
	if err != nil {
		t.Fatal(err)
	}
	return stored, created
}

func TestPutReplacesTheSkillInAnotherSpelling(t *testing.T) {
	t.Parallel()
	s, people, instance := newStore(t)
	title := "Pay"
	first, created := put(t, s, instance, skill.Skill{Name: "pay.Transfer", Mode: skill.Approval, Title: &title})
	if !created || first.Name != "pay.Transfer" || *first.Title != title || first.Version == uuid.Nil {
		t.Errorf("created %v: %+v", created, first)
	}
	second, created := put(t, s, instance, skill.Skill{Name: "PAY.transfer", Mode: skill.Session})
	if created || second.ID != first.ID || second.Name != "PAY.transfer" || second.Title != nil || second.Version == first.Version || !second.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("created %v: %+v, after %+v", created, second, first)
	}
	found, err := s.Get(t.Context(), instance, "Pay.Transfer")
	if err != nil || found != second {
		t.Errorf("got %+v, %v, want %+v", found, err, second)
	}
	// Only ASCII letters have two cases: the Kelvin sign is not K, and the long s is not S.
	put(t, s, instance, skill.Skill{Name: "kiss", Mode: skill.Approval})
	for _, other := range []string{"\u212Aiss", "ki\u017Fs", "kis", "kiss "} {
		if _, err := s.Get(t.Context(), instance, other); !errors.Is(err, skill.ErrNone) {
			t.Errorf("%q: %v, want ErrNone", other, err)
		}
	}
	var audited []string
	if err := s.DB.Select(&audited, `select details->>'skill' || ' ' || (details->>'mode') from audit where action = 'skill.set' and instance_id = $1 and target_id = $2 order by id`, instance, first.ID); err != nil ||
		len(audited) != 2 || audited[1] != "PAY.transfer session" {
		t.Errorf("the audit trail has %q, %v", audited, err)
	}
	var others int
	if people.Get(&others, `select count(*) from skills`); others != 2 {
		t.Errorf("%d skills, want 2", others)
	}
}

func TestSkillsBelongToTheirInstance(t *testing.T) {
	t.Parallel()
	s, people, instance := newStore(t)
	other := people.Instance()
	put(t, s, instance, skill.Skill{Name: "pay", Mode: skill.Approval})
	if _, err := s.Get(t.Context(), other, "pay"); !errors.Is(err, skill.ErrNone) {
		t.Errorf("another instance: %v, want ErrNone", err)
	}
	if err := s.Remove(t.Context(), other, "pay"); err != nil {
		t.Errorf("removing a skill that the instance does not have: %v", err)
	}
	if list, err := s.List(t.Context(), instance, page.Page{Number: 1, Size: 20, Search: "AY", SortBy: "skill"}); err != nil || list.Total != 1 {
		t.Errorf("the skill is gone: %+v, %v", list, err)
	}
	if _, _, err := s.Put(t.Context(), uuid.New(), skill.Skill{Name: "pay", Mode: skill.Open}); !errors.Is(err, directory.ErrNoInstance) {
		t.Errorf("an unknown instance: %v", err)
	}
	if err := s.Remove(t.Context(), uuid.New(), "pay"); !errors.Is(err, directory.ErrNoInstance) {
		t.Errorf("an unknown instance: %v", err)
	}
}

func TestRemovedSkillHasOneAuditRow(t *testing.T) {
	t.Parallel()
	s, people, instance := newStore(t)
	put(t, s, instance, skill.Skill{Name: "Pay", Mode: skill.Approval})
	for range 2 {
		if err := s.Remove(t.Context(), instance, "pAY"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), instance, "pay"); !errors.Is(err, skill.ErrNone) {
		t.Errorf("after the removal: %v, want ErrNone", err)
	}
	var rows int
	if people.Get(&rows, `select count(*) from audit where action = 'skill.removed' and details->>'skill' = 'Pay'`); rows != 1 {
		t.Errorf("%d audit rows, want 1", rows)
	}
}

func TestParallelPutsMakeOneSkill(t *testing.T) {
	t.Parallel()
	s, people, instance := newStore(t)
	var wg sync.WaitGroup
	var created [20]bool
	for i := range created {
		wg.Go(func() {
			name := []string{"pay", "PAY"}[i%2]
			_, isNew, err := s.Put(t.Context(), instance, skill.Skill{Name: name, Mode: skill.Approval})
			if err != nil {
				t.Error(err)
			}
			created[i] = isNew
		})
	}
	wg.Wait()
	n := 0
	for _, isNew := range created {
		if isNew {
			n++
		}
	}
	var rows, audited int
	people.Get(&rows, `select count(*) from skills`)
	people.Get(&audited, `select count(*) from audit where action = 'skill.set'`)
	if n != 1 || rows != 1 || audited != len(created) {
		t.Errorf("%d answers say that the skill is new, %d skills, %d audit rows; want 1, 1, %d", n, rows, audited, len(created))
	}
}
