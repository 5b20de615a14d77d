package password

import (
	"testing"

	"github.com/countersign/countersign/pkg/slowhash"
)

func TestDecoyCostsAsMuchAsANewHash(t *testing.T) {
	t.Parallel()
	if slowhash.Outdated(decoy, "") {
		t.Errorf("%s", decoy)
	}
}
