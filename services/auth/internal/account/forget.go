package account

import (
	"context"
	"log/slog"
	"time"
)

const (
	forgetEvery = time.Minute
	forgetTime  = 10 * time.Second
)

// Forget removes the guess budgets of long ago, until ctx ends.
func (a *Accounts) Forget(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(forgetEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := a.forget(ctx); err != nil && ctx.Err() == nil {
				log.Warn("old guess budgets cannot be removed", "error", err.Error())
			}
		case <-ctx.Done():
			return
		}
	}
}

func (a *Accounts) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, forgetTime)
	defer cancel()
	return a.guesses.Forget(ctx)
}
