package api

import (
	"errors"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/web"
)

// Rates are the limits of the routes, in requests a minute. Routes shows which route has a limit.
type Rates struct {
	// MyPIN is how often one user may set, and how often remove, their own PIN. Each of these requests may need two hashes. A
	// person needs a few a day.
	MyPIN int `envconfig:"RATE_MY_PIN" default:"10"`
}

// Validate returns an error that names a rate below 1.
func (r Rates) Validate() error {
	if r.MyPIN < 1 {
		return errors.New("RATE_MY_PIN is not positive")
	}
	return nil
}

// perUser limits a route to rate requests a minute from one user. It runs after a middleware that allows only users.
func (a *API) perUser(rate int) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx := c.Request().Context()
			quota := a.Limiter.Take(ctx, c.Request().Method+" "+c.Path(), caller.From(ctx).ID.String(), rate)
			web.SetRateLimit(c, quota.Limit, quota.Remaining, quota.Reset)
			if quota.Exceeded {
				return ratelimit.ErrTooMany.RetryAfter(quota.Reset)
			}
			return next(c)
		}
	}
}
