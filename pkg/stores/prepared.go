package stores

import (
	"context"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
)

// Prepared is a statement that is prepared at its first use, so that a service starts while its database is down. Without it,
// lib/pq needs two round trips and Postgres plans the statement each time.
type Prepared struct {
	Query string

	mu   sync.Mutex
	stmt *sqlx.Stmt
}

// Get reads the first row into dest. It returns sql.ErrNoRows if there is no row.
func (p *Prepared) Get(ctx context.Context, db *sqlx.DB, dest any, args ...any) error {
	stmt, err := p.prepare(ctx, db)
	if err != nil {
		return fmt.Errorf("preparing a statement: %w", err)
	}
	return stmt.GetContext(ctx, dest, args...)
}

func (p *Prepared) prepare(ctx context.Context, db *sqlx.DB) (*sqlx.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stmt != nil {
		return p.stmt, nil
	}
	stmt, err := db.PreparexContext(ctx, p.Query)
	p.stmt = stmt
	return stmt, err
}
