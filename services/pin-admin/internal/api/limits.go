package api

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/web"
)

// Rates are the limits of the routes, in requests a minute. Routes shows which route has a limit.
type Rates struct {
	// MyPIN is how often one user may set their own PIN, how often remove it, and how often decide about approvals. Each of these
	// requests may need one or two hashes. A person needs a few a day.
	MyPIN int `envconfig:"RATE_MY_PIN" default:"10"`
	// Approvals is how often one client address may open, and how often answer, the links of approvals and enrolments. A person sends
	// two or three requests for each link.
	Approvals int `envconfig:"RATE_APPROVALS" default:"60"`
}

// Validate returns an error that names each rate below 1.
func (r Rates) Validate() error {
	var problems []error
	for field, rate := range reflect.ValueOf(r).Fields() {
		if rate.Int() < 1 {
			problems = append(problems, fmt.Errorf("%s is not positive", field.Tag.Get("envconfig")))
		}
	}
	return errors.Join(problems...)
}

// perUser limits a route to rate requests a minute from one user. It runs after a middleware that allows only users.
func (a *API) perUser(rate int) echo.MiddlewareFunc {
	return limited(func(c echo.Context) ratelimit.Quota {
		ctx := c.Request().Context()
		return a.Limiter.Take(ctx, route(c), caller.From(ctx).ID.String(), rate)
	})
}

// perAddress limits a route to rate requests a minute from one client address (for IPv6: /64; more from wider networks).
func (a *API) perAddress(rate int) echo.MiddlewareFunc {
	return limited(func(c echo.Context) ratelimit.Quota {
		return a.Limiter.TakeAddress(c.Request().Context(), route(c), c.RealIP(), rate)
	})
}

// route is the name of a route's limit.
func route(c echo.Context) string { return c.Request().Method + " " + c.Path() }

// limited refuses a request whose quota is exceeded.
func limited(take func(echo.Context) ratelimit.Quota) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			quota := take(c)
			web.SetRateLimit(c, quota.Limit, quota.Remaining, quota.Reset)
			if quota.Exceeded {
				return ratelimit.ErrTooMany.RetryAfter(quota.Reset)
			}
			return next(c)
		}
	}
}
