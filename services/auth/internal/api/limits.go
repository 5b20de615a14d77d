package api

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/ratelimit"
	"github.com/countersign/countersign/pkg/web"
)

// Rates are how many requests a minute one client may make, from one IPv4 address or one IPv6 /64, at each route that
// counts them; behind a credential it is one user, from wherever.
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

// Validate names the rates that would close their routes.
func (r Rates) Validate() error {
	var problems []error
	for field, rate := range reflect.ValueOf(r).Fields() {
		if rate.Int() < 1 {
			problems = append(problems, fmt.Errorf("%s is not positive", field.Tag.Get("envconfig")))
		}
	}
	return errors.Join(problems...)
}

// perMinute lets so many requests a minute through to a route. It counts client addresses; behind user it counts users.
func (a *API) perMinute(rate int) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx := c.Request().Context()
			whom := ratelimit.Network(c.RealIP())
			if who := caller.From(ctx); who.Kind == caller.User {
				whom = who.ID.String()
			}
			quota := a.Limiter.Take(ctx, c.Request().Method+" "+c.Path(), whom, rate)
			header := c.Response().Header()
			header.Set("RateLimit-Limit", strconv.Itoa(quota.Limit))
			header.Set("RateLimit-Remaining", strconv.Itoa(quota.Remaining))
			header.Set("RateLimit-Reset", web.RetryAfter(quota.Reset))
			if quota.Exceeded {
				return ratelimit.ErrTooMany.RetryAfter(quota.Reset)
			}
			return next(c)
		}
	}
}
