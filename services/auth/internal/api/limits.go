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

// Rates are the limits of the routes, in requests a minute. A limit applies to one client address (one IPv4 address or one IPv6
// /64) or to one user. Routes shows which.
type Rates struct {
	Signup     int `envconfig:"RATE_SIGNUP" default:"20"`
	Login      int `envconfig:"RATE_LOGIN" default:"60"`
	Refresh    int `envconfig:"RATE_REFRESH" default:"600"`
	Verify     int `envconfig:"RATE_VERIFY" default:"30"`
	Resend     int `envconfig:"RATE_RESEND" default:"5"`
	Status     int `envconfig:"RATE_STATUS" default:"30"`
	Forgot     int `envconfig:"RATE_FORGOT" default:"5"`
	Reset      int `envconfig:"RATE_RESET" default:"20"`
	Token      int `envconfig:"RATE_TOKEN" default:"600"`
	Challenge  int `envconfig:"RATE_CHALLENGE" default:"30"`
	Decrypt    int `envconfig:"RATE_DECRYPT" default:"30"`
	Connection int `envconfig:"RATE_CONNECTION" default:"30"`
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

// perAddress limits a route to rate requests a minute from one client address (for IPv6: /64; more from wider networks).
func (a *API) perAddress(rate int) echo.MiddlewareFunc {
	return limited(func(c echo.Context) (ratelimit.Quota, error) {
		return a.Limiter.TakeAddress(c.Request().Context(), route(c), c.RealIP(), rate), nil
	})
}

var errUnknownUser = errors.New("perUser ran before the user was authenticated")

// perUser limits a route to rate requests a minute from one user, whatever addresses they come from. It runs after a
// middleware that authenticates the user. If it runs earlier, every request fails with 500.
func (a *API) perUser(rate int) echo.MiddlewareFunc {
	return limited(func(c echo.Context) (ratelimit.Quota, error) {
		who := caller.From(c.Request().Context())
		if who.Kind != caller.User {
			return ratelimit.Quota{}, errUnknownUser
		}
		return a.Limiter.Take(c.Request().Context(), route(c), who.ID.String(), rate), nil
	})
}

// route is the name of a route's limit.
func route(c echo.Context) string { return c.Request().Method + " " + c.Path() }

// limited refuses a request when take says so.
func limited(take func(echo.Context) (ratelimit.Quota, error)) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			quota, err := take(c)
			if err != nil {
				return err
			}
			web.SetRateLimit(c, quota.Limit, quota.Remaining, quota.Reset)
			if quota.Exceeded {
				return ratelimit.ErrTooMany.RetryAfter(quota.Reset)
			}
			return next(c)
		}
	}
}
