// Package prune deletes old rows in the background. The package that owns a table exports the statement that prunes it.
package prune

import (
	"context"
	"log/slog"
	"time"
)

const (
	every   = time.Minute
	timeout = 10 * time.Second
)

// Run runs every task once a minute until ctx ends. A task deletes a limited number of rows, so that it never holds locks
// for long.
func Run(ctx context.Context, log *slog.Logger, tasks ...func(context.Context) error) {
	for {
		for _, task := range tasks {
			if err := run(ctx, task); err != nil && ctx.Err() == nil {
				log.Warn("pruning failed", "error", err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

func run(ctx context.Context, task func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return task(ctx)
}
