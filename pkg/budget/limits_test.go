package budget_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/budget"
)

func TestLimitsAreValidated(t *testing.T) {
	t.Parallel()
	const minute, hour = time.Minute, time.Hour
	for _, rule := range []struct {
		name                     string
		limits                   budget.Limits
		maxAttempts, maxFailures int
		want                     string
	}{
		{"a usual budget", budget.Limits{5, minute, hour, 50}, 10, 100, "<nil>"},
		{"the largest budget", budget.Limits{10, time.Second, time.Second, 100}, 10, 100, "<nil>"},
		{"no attempts", budget.Limits{0, minute, hour, 50}, 10, 100, "X_ATTEMPTS must be 1 to 10"},
		{"too many attempts", budget.Limits{11, minute, hour, 50}, 10, 100, "X_ATTEMPTS must be 1 to 10"},
		{"a lock of less than a second", budget.Limits{5, time.Second - 1, hour, 50}, 10, 100, "X_LOCK must be at least 1s"},
		{"a longest lock shorter than the first", budget.Limits{5, hour, minute, 50}, 10, 100, "X_LOCK_MAX must be at least X_LOCK"},
		{"fewer failures than attempts", budget.Limits{5, minute, hour, 4}, 10, 100, "X_FAILURES must be X_ATTEMPTS to 100"},
		{"no limit of failures", budget.Limits{5, minute, hour, 0}, 10, 100, "X_FAILURES must be X_ATTEMPTS to 100"},
		{"too many failures", budget.Limits{5, minute, hour, 101}, 10, 100, "X_FAILURES must be X_ATTEMPTS to 100"},
		{"two wrong limits", budget.Limits{0, 0, hour, 50}, 10, 100, "X_ATTEMPTS must be 1 to 10\nX_LOCK must be at least 1s"},
	} {
		if got := fmt.Sprint(rule.limits.Validate("X", rule.maxAttempts, rule.maxFailures)); got != rule.want {
			t.Errorf("%s: got %q, want %q", rule.name, got, rule.want)
		}
	}
}
