package skill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrChanging means that a skill was changed while a request read it. The same request can be sent again.
var ErrChanging = fault.New(fault.Unavailable, "skill_changing", "The skill is being changed, try again").RetryAfter(time.Second)

// maxDefinitions is how many definitions a replica keeps. A schema of 16 KiB takes a few hundred kilobytes when it is compiled.
const maxDefinitions = 128

// Catalog reads the definitions of registered skills and keeps them. A version never changes, so what is kept is never outdated.
type Catalog struct {
	db   *sqlx.DB
	kept *lru.Cache[uuid.UUID, Definition]
}

// NewCatalog returns a Catalog.
func NewCatalog(db *sqlx.DB) *Catalog {
	kept, err := lru.New[uuid.UUID, Definition](maxDefinitions)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Catalog{db, kept}
}

// Definition returns the definition of a registered skill, which pin.Resolve has read. For an unregistered skill, it is the zero
// Definition. It returns ErrChanging if the skill has another version now.
func (c *Catalog) Definition(ctx context.Context, instance uuid.UUID, r Registered) (Definition, error) {
	if r.Mode == Unregistered {
		return Definition{}, nil
	}
	if d, found := c.kept.Get(r.Version.UUID); found {
		return d, nil
	}
	const q = `select ` + columns + ` from skills where instance_id = $1 and ` + byName + ` and version = $3`
	var s Skill
	err := c.db.GetContext(ctx, &s, q, instance, r.Name, r.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return Definition{}, ErrChanging
	}
	if err != nil {
		return Definition{}, fmt.Errorf("reading a skill: %w", err)
	}
	d, err := s.Define()
	if err != nil {
		return Definition{}, fmt.Errorf("reading the skill of version %s: %s", r.Version.UUID, err) // not a fault of this request
	}
	c.kept.Add(r.Version.UUID, d)
	return d, nil
}
