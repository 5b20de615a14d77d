package model_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/pin/model"
)

// Every run of the tests explores small and smallApprovals. make model also explores large and largeApprovals.
var (
	small = model.World{Attempts: 3, Budget: 2, Failures: 3, Events: 2, Repeats: 2}
	large = []model.World{
		{Attempts: 3, Budget: 2, Failures: 3, Events: 4, Repeats: 3},
		{Attempts: 4, Budget: 2, Failures: 3, Events: 2, Repeats: 2},
	}
	smallApprovals = []model.Approvals{
		approvals(1, 1, 3, 2),
		session(approvals(1, 1, 2, 3)),
		approvals(3, 1, 1, 0),
		approvals(2, 2, 0, 1),
		approvals(3, 1, 0, 1),
	}
	largeApprovals = []model.Approvals{
		approvals(3, 1, 1, 2),
		approvals(2, 2, 1, 2),
		approvals(2, 1, 3, 3),
		session(approvals(2, 1, 2, 3)),
	}
)

func approvals(attempts, asks, uses int, events uint8) model.Approvals {
	return model.Approvals{World: model.World{Attempts: attempts, Budget: 3, Failures: 4, Events: events, Repeats: 2}, Asks: asks, Uses: uses}
}

func session(w model.Approvals) model.Approvals {
	w.Session = true
	return w
}

func TestEveryInvariantHoldsInEveryState(t *testing.T) {
	t.Parallel()
	worlds := []model.World{small}
	if os.Getenv("MODEL") == "large" {
		worlds = append(worlds, large...)
	}
	for _, w := range worlds {
		start := time.Now()
		states, found := w.Explore()
		t.Logf("%d attempts, %d events: %d states in %s", w.Attempts, w.Events, states, time.Since(start).Round(time.Millisecond))
		if found != nil {
			t.Errorf("violated: %s, after\n%s", found.Invariant, strings.Join(found.Steps, "\n"))
		}
	}
}

func TestEveryInvariantOfApprovalsHoldsInEveryState(t *testing.T) {
	t.Parallel()
	worlds := smallApprovals
	if os.Getenv("MODEL") == "large" {
		worlds = append(worlds, largeApprovals...)
	}
	for _, w := range worlds {
		start := time.Now()
		states, found := w.Explore()
		t.Logf("%d attempts, %d approvals, %d uses, %d events: %d states in %s", w.Attempts, w.Asks, w.Uses, w.Events, states, time.Since(start).Round(time.Millisecond))
		if found != nil {
			t.Errorf("violated: %s, after\n%s", found.Invariant, strings.Join(found.Steps, "\n"))
		}
	}
}

func TestEveryMutantViolatesAnInvariant(t *testing.T) {
	t.Parallel()
	for _, mutant := range model.Mutants {
		t.Run(string(mutant), func(t *testing.T) {
			t.Parallel()
			w := small
			w.Mutant = mutant
			_, found := w.Explore()
			if found == nil {
				t.Fatal("the mutant violates no invariant, so an invariant is missing")
			}
			t.Logf("violated: %s, after\n%s", found.Invariant, strings.Join(found.Steps, "\n"))
		})
	}
}

func TestEveryMutantOfApprovalsViolatesAnInvariant(t *testing.T) {
	t.Parallel()
	for _, mutant := range model.ApprovalMutants {
		t.Run(string(mutant), func(t *testing.T) {
			t.Parallel()
			for _, w := range smallApprovals {
				w.Mutant = mutant
				if _, found := w.Explore(); found != nil {
					t.Logf("violated: %s, after\n%s", found.Invariant, strings.Join(found.Steps, "\n"))
					return
				}
			}
			t.Fatal("the mutant violates no invariant, so an invariant is missing")
		})
	}
}
