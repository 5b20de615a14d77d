package prune_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/auth/internal/prune"
)

func TestFailedTaskDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	prune.Run(ctx, slog.New(slog.NewJSONHandler(&log, nil)),
		func(context.Context) error { return errors.New("deleting old rows: the task failed") },
		func(ctx context.Context) error {
			if _, limited := ctx.Deadline(); !limited {
				t.Error("the task has no deadline")
			}
			cancel()
			return nil
		})
	if ctx.Err() == nil || !strings.Contains(log.String(), "the task failed") {
		t.Errorf("the second task did not run, or the first was not logged: %s", log.String())
	}
}
