// Package doctor checks a deployment and says how to repair what is wrong. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/pkg/retention"
)

// Config has the settings of the doctor. The doctor skips the checks whose settings are empty.
type Config struct {
	DatabaseURL string `envconfig:"DATABASE_URL"`
	RedisURL    string `envconfig:"REDIS_URL"`
	Auth        string `envconfig:"AUTH_DB_PASSWORD"`
	PinAdmin    string `envconfig:"PIN_ADMIN_DB_PASSWORD"`
	PinInternal string `envconfig:"PIN_INTERNAL_DB_PASSWORD"`
	// The passwords of the services' users in Redis.
	AuthRedis        string `envconfig:"AUTH_REDIS_PASSWORD"`
	PinAdminRedis    string `envconfig:"PIN_ADMIN_REDIS_PASSWORD"`
	PinInternalRedis string `envconfig:"PIN_INTERNAL_REDIS_PASSWORD"`

	PinKeys        string `envconfig:"PIN_KEYS"`
	AuthKeys       string `envconfig:"AUTH_KEYS"`
	PinInternalURL string `envconfig:"PIN_INTERNAL_URL"`
	// OpsURLs are the operations ports of the services, which have their metrics.
	OpsURLs []string `envconfig:"OPS_URLS"`
	// AuthRetention and PinAdminRetention must have the values that the services have.
	AuthRetention     retention.AuthConfig
	PinAdminRetention retention.PinAdminConfig
}

// Validate names every setting that is wrong and prints no value.
func (c Config) Validate() error {
	return errors.Join(c.AuthRetention.Validate(), c.PinAdminRetention.Validate())
}

func (c Config) passwords() database.Passwords {
	return database.Passwords{Auth: c.Auth, PinAdmin: c.PinAdmin, PinInternal: c.PinInternal}
}

type verdict string

const (
	ok      verdict = "ok"
	skipped verdict = "skipped"
	advice  verdict = "advice"
	wrong   verdict = "WRONG"
)

// finding is the result of one check. repair says what to do if the verdict is not ok.
type finding struct {
	verdict      verdict
	what, repair string
}

// Report has the results of all checks.
type Report struct{ findings []finding }

func (r *Report) add(v verdict, what, repair string) {
	r.findings = append(r.findings, finding{v, what, repair})
}

// check adds a finding: ok with okText, or wrong with wrongText and repair.
func (r *Report) check(isOK bool, okText, wrongText, repair string) {
	if isOK {
		r.add(ok, okText, "")
	} else {
		r.add(wrong, wrongText, repair)
	}
}

func (r *Report) count(v verdict) (n int) {
	for _, f := range r.findings {
		if f.verdict == v {
			n++
		}
	}
	return n
}

// Wrong returns the number of checks that found something wrong.
func (r *Report) Wrong() int { return r.count(wrong) }

// Print writes each finding with its repair, and then the number of findings of each verdict.
func (r *Report) Print(out io.Writer) {
	for _, f := range r.findings {
		fmt.Fprintf(out, "%-8s %s\n", f.verdict, f.what)
		if f.repair != "" {
			fmt.Fprintf(out, "%-8s   %s\n", "", strings.ReplaceAll(f.repair, "\n", "\n           "))
		}
	}
	fmt.Fprintf(out, "\n%d ok, %d wrong, %d advice, %d skipped\n", r.count(ok), r.count(wrong), r.count(advice), r.count(skipped))
}

// checkTime is the time limit for all checks of one store.
const checkTime = 10 * time.Second

// Examine checks the deployment, from the machine that it runs on.
func Examine(ctx context.Context, c Config) *Report {
	r := &Report{}
	if c.DatabaseURL == "" {
		r.add(skipped, "Postgres, roles, migrations, keys and mails", "set DATABASE_URL, with the user that owns the schema")
	} else {
		r.postgres(ctx, c)
	}
	if c.RedisURL == "" {
		r.add(skipped, "Redis", "set REDIS_URL")
	} else {
		r.redis(ctx, c)
	}
	if c.PinInternalURL == "" {
		r.add(skipped, "whether pin-internal answers on a public network", "run countersign doctor on a machine of the public network, with PIN_INTERNAL_URL")
	} else {
		r.exposure(ctx, c.PinInternalURL)
	}
	if len(c.OpsURLs) == 0 {
		r.add(skipped, "whether TRUSTED_PROXIES is forgotten", "set OPS_URLS to the operations ports of the services, separated by commas")
	} else {
		r.proxies(ctx, c.OpsURLs)
	}
	return r
}
