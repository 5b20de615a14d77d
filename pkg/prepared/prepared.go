// Package prepared keeps the statements of the hot path prepared. Through lib/pq an unprepared statement with arguments
// costs two round trips and a plan each time; a prepared one costs one round trip.
package prepared

import (
	"context"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
)

// Statement is one SQL statement, prepared when it is first needed, so that a service can start before its database, and
// then once on each connection.
type Statement struct {
	db    *sqlx.DB
	query string

	mu   sync.Mutex
	stmt *sqlx.Stmt
}

// New returns a statement that is still to be prepared.
func New(db *sqlx.DB, query string) *Statement { return &Statement{db: db, query: query} }

// Get reads the first row into dest. It returns sql.ErrNoRows when there is none.
func (s *Statement) Get(ctx context.Context, dest any, args ...any) error {
	stmt, err := s.ready(ctx)
	if err != nil {
		return err
	}
	return stmt.GetContext(ctx, dest, args...)
}

func (s *Statement) ready(ctx context.Context) (*sqlx.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stmt != nil {
		return s.stmt, nil
	}
	stmt, err := s.db.PreparexContext(ctx, s.query)
	if err != nil {
		return nil, fmt.Errorf("preparing a statement: %w", err)
	}
	s.stmt = stmt
	return stmt, nil
}
