package pin

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/golden"
)

// The statements are assembled from constants in two packages. The golden files contain the complete statements.
func TestChargeAndSettleStatements(t *testing.T) {
	for file, s := range map[string]struct{ comment, sql string }{
		"charge.sql": {`-- Charges one attempt before the PIN is compared. No row: the budget allows no attempt.
-- $1 holder, $2 attempts before a lock, $3 first lock and $4 longest lock in seconds, $5 failures before the PIN is
-- deactivated (0: never), $6 instance, $7 request id, from $8 the audit row of a lock`, chargeSQL},
		"charge_try.sql": {`-- Charges one attempt for an approval, and takes one of its two tries. No row: the budget allows no attempt. A row with the number 0:
-- the approval allows no try. Nothing was charged or taken then.
-- $1 to $16 as in charge.sql, $17 approval`, chargeTrySQL},
		"approve.sql": {`-- Approves, after the attempt was settled as right in the same transaction. No row: the approval was decided, or its time is over.
-- $1 approval, $2 holder of the PIN, $3 its session generation, $4 seconds for the use`, approveSQL},
		"count_wrong.sql": {`-- Counts a wrong try of an approval. The second one denies it. No row: the approval was decided meanwhile.
-- $1 approval`, countWrongSQL},
		"settle_right.sql": {`-- Settles an attempt whose PIN was right. No row: the outcome came too late, or the PIN was replaced meanwhile.
-- $1 holder, $2 number of the attempt, $3 generation of the compared PIN, $4 seconds for which an outcome counts,
-- $5 time of the charge`, settleRightSQL},
		"settle_wrong.sql": {`-- Settles an attempt whose PIN was wrong. It changes no budget: a charged attempt is a failure from the start.
-- $1 holder, $2 number of the attempt, $3 time of the charge`, settleWrongSQL},
	} {
		golden.Compare(t, "testdata/"+file, s.comment+"\n"+strings.Trim(s.sql, "\n")+"\n")
	}
}
