package model_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/pin/model"
)

// Every run of the tests explores small. make model also explores large.
var (
	small = model.World{Attempts: 3, Budget: 2, Failures: 3, Events: 2, Repeats: 2}
	large = []model.World{
		{Attempts: 3, Budget: 2, Failures: 3, Events: 4, Repeats: 3},
		{Attempts: 4, Budget: 2, Failures: 3, Events: 2, Repeats: 2},
	}
)

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
