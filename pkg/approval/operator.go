package approval

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/seal"
	"github.com/countersign/countersign/pkg/signing"
)

// Sealed are the columns of approvals whose values are sealed under PIN_KEYS.
var Sealed = []seal.Column{signing.Receipts.Sealed(), phrases}

// phrases is the column of the phrases that known browsers show.
var phrases = seal.Column{Values: "phrases", Table: "customer_phrases", Column: "sealed", ID: "customer_id", Purpose: keyring.Phrases}

// CountByKey counts the approvals with a token that a repeated request may still ask for, by the key of PIN_KEYS from which their
// tokens are derived: the link of an approval that has not ended, and the token of a session that has not ended. Such an approval
// cannot move to another key, because it would get other tokens.
func CountByKey(ctx context.Context, db sqlx.QueryerContext) (map[string]int, error) {
	const q = `
		select key_id as key, count(*) as count from approvals
		 where status in ('pending', 'approved') and expires_at > now() or used_at + make_interval(secs => session_seconds) > now()
		 group by 1`
	var rows []struct {
		Key   string `db:"key"`
		Count int    `db:"count"`
	}
	if err := sqlx.SelectContext(ctx, db, &rows, q); err != nil {
		return nil, fmt.Errorf("counting approvals: %w", err)
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.Key] = row.Count
	}
	return counts, nil
}
