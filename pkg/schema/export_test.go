package schema

import (
	"context"
	"database/sql"
)

// MigrateTo applies the migrations up to a version.
func MigrateTo(ctx context.Context, db *sql.DB, version int64) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}
