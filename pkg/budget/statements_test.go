package budget

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/golden"
)

// The statements are assembled from constants. The golden files contain the complete statements.
func TestChargeAndForgiveStatements(t *testing.T) {
	for file, s := range map[string]struct{ comment, sql string }{
		"charge.sql": {`-- Charges one guess at a password or a second factor before it is compared. No row: the budget allows no guess.
-- $1 subject, $2 guesses before a lock, $3 first lock and $4 longest lock in seconds, $5 failures before the budget is used
-- up (0: never), $6 kind`, chargeSQL},
		"forgive.sql": {`-- Forgives the guesses up to a right one.
-- $1 subject, $2 number of the right guess`, forgiveSQL},
	} {
		golden.Compare(t, "testdata/"+file, s.comment+"\n"+strings.Trim(s.sql, "\n")+"\n")
	}
}
