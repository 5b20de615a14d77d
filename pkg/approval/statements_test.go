package approval

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/golden"
)

// The statement is assembled from constants in several packages. The golden file contains the complete statement.
func TestBurnStatements(t *testing.T) {
	const comment = `-- Uses an approval, if everything that the use needs is true. No row: it is not.
-- $1 hash of the proxy key, $2 instance, $3 approval, $4 canonical arguments (null: not compared), $5 hash of the use_id,
-- $6 request id, $7 address, $8 ids of the keys on the ring`
	golden.Compare(t, "testdata/burn.sql", comment+"\n"+strings.Trim(burnSQL, "\n")+"\n")
}
