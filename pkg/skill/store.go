package skill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/page"
)

// Store reads and changes the skills of the instances.
type Store struct{ DB *sqlx.DB }

const columns = `id, skill, mode, title, summary, arguments, audience, version, created_at, updated_at`

// Get returns a skill of an instance, or ErrNone.
func (s Store) Get(ctx context.Context, instance uuid.UUID, name string) (Skill, error) {
	const q = `select ` + columns + ` from skills where instance_id = $1 and ` + byName
	return s.get(ctx, q, instance, name)
}

// byName selects the skill with the name $2. Under the collation C, lower changes ASCII letters only.
const byName = `lower(skill collate "C") = lower($2 collate "C")`

func (s Store) get(ctx context.Context, q string, args ...any) (Skill, error) {
	var found Skill
	err := s.DB.GetContext(ctx, &found, q, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return Skill{}, ErrNone
	}
	if err != nil {
		return Skill{}, fmt.Errorf("reading a skill: %w", err)
	}
	return found, nil
}

// List returns one page of an instance's skills.
func (s Store) List(ctx context.Context, instance uuid.UUID, p page.Page) (page.Of[Skill], error) {
	return page.Read[Skill](ctx, s.DB, page.List{
		Columns: columns, Table: `skills`, Where: `instance_id = $1`, Args: []any{instance},
		Searched: []string{`lower(skill)`, `lower(title)`}, Sorts: map[string]string{"skill": `lower(skill collate "C")`, "updated_at": `updated_at`},
	}, p)
}

// Put registers a skill, or replaces the skill with this name, also its spelling. It returns whether the skill is new. The new
// skill counts from the next request on. Put returns directory.ErrNoInstance. It does not check the template and the schema:
// call Skill.Define first.
func (s Store) Put(ctx context.Context, instance uuid.UUID, n Skill) (stored Skill, created bool, err error) {
	const q = `
		insert into skills as s (instance_id, skill, mode, title, summary, arguments, audience)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (instance_id, lower(skill collate "C")) do update
		   set skill = excluded.skill, mode = excluded.mode, title = excluded.title, summary = excluded.summary,
		       arguments = excluded.arguments, audience = excluded.audience, version = gen_random_uuid(), updated_at = now()
		returning ` + columns + `, xmax = 0 as created` // xmax is 0 in a row that no update wrote
	var row struct {
		Skill
		Created bool `db:"created"`
	}
	err = audit.Change(ctx, s.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &row, q, instance, n.Name, n.Mode, n.Title, n.Summary, n.Arguments, n.Audience)
		var violation *pq.Error
		switch {
		case errors.As(err, &violation) && violation.Code == "23503": // foreign_key_violation
			return audit.Event{}, directory.ErrNoInstance
		case err != nil:
			return audit.Event{}, fmt.Errorf("registering a skill: %w", err)
		}
		return audit.Event{Action: "skill.set", InstanceID: audit.ID(instance), TargetID: audit.ID(row.ID), Details: map[string]any{
			"skill": row.Name, "mode": row.Mode, "title": row.Title, "summary": row.Summary, "audience": row.Audience,
			"has_schema": row.Arguments != nil, "version": row.Version,
		}}, nil
	})
	return row.Skill, row.Created, err
}

// errUnchanged ends a transaction that changed nothing, so that no audit row is written. It is not a failure.
var errUnchanged = errors.New("nothing to change")

// Remove removes a skill of an instance. Then the instance's policy decides about the name. It does nothing if there is no such
// skill. It returns directory.ErrNoInstance.
func (s Store) Remove(ctx context.Context, instance uuid.UUID, name string) error {
	const q = `
		with removed as (delete from skills where instance_id = $1 and ` + byName + ` returning id, skill)
		select r.id, r.skill from instances i left join removed r on true where i.id = $1`
	err := audit.Change(ctx, s.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		var removed struct {
			ID   uuid.NullUUID `db:"id"`
			Name *string       `db:"skill"`
		}
		err := tx.GetContext(ctx, &removed, q, instance, name)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audit.Event{}, directory.ErrNoInstance
		case err != nil:
			return audit.Event{}, fmt.Errorf("removing a skill: %w", err)
		case !removed.ID.Valid:
			return audit.Event{}, errUnchanged
		}
		return audit.Event{Action: "skill.removed", InstanceID: audit.ID(instance), TargetID: removed.ID,
			Details: map[string]any{"skill": removed.Name}}, nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}
