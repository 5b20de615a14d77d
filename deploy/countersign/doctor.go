package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/service"
)

// doctorConfig is what the doctor knows of a deployment. It looks at what it is told of, from where it runs.
type doctorConfig struct {
	DatabaseURL    string `envconfig:"DATABASE_URL"`
	RedisURL       string `envconfig:"REDIS_URL"`
	Auth           string `envconfig:"AUTH_DB_PASSWORD"`
	PinAdmin       string `envconfig:"PIN_ADMIN_DB_PASSWORD"`
	PinInternal    string `envconfig:"PIN_INTERNAL_DB_PASSWORD"`
	PinKeys        string `envconfig:"PIN_KEYS"`
	AuthKeys       string `envconfig:"AUTH_KEYS"`
	PinInternalURL string `envconfig:"PIN_INTERNAL_URL"`
}

// doctor looks for what is wrong with a deployment and says how to mend it. It changes nothing. It fails when something
// is wrong; an advice and what it was not told of are no failure.
func doctor(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return errors.New("doctor takes no arguments; it reads the environment")
	}
	var cfg doctorConfig
	if err := service.Load(&cfg); err != nil {
		return err
	}
	var r report
	r.examine(ctx, cfg)
	r.print(os.Stdout)
	if r.count(wrong) > 0 {
		return exitCode(1)
	}
	return nil
}

type verdict string

const (
	fine    verdict = "ok"
	skipped verdict = "skipped"
	advice  verdict = "advice"
	wrong   verdict = "WRONG"
)

// finding is one thing that was looked at. Mend says what to do when it is not fine.
type finding struct {
	verdict    verdict
	what, mend string
}

// report collects findings.
type report struct{ findings []finding }

func (r *report) add(v verdict, what, mend string) {
	r.findings = append(r.findings, finding{v, what, mend})
}

// hold notes what is fine when it is, and what is wrong when it is not.
func (r *report) hold(is bool, fineText, wrongText, mend string) {
	if is {
		r.add(fine, fineText, "")
	} else {
		r.add(wrong, wrongText, mend)
	}
}

func (r *report) count(v verdict) (n int) {
	for _, f := range r.findings {
		if f.verdict == v {
			n++
		}
	}
	return n
}

func (r *report) print(out io.Writer) {
	for _, f := range r.findings {
		fmt.Fprintf(out, "%-8s %s\n", f.verdict, f.what)
		if f.mend != "" {
			fmt.Fprintf(out, "%-8s   %s\n", "", strings.ReplaceAll(f.mend, "\n", "\n           "))
		}
	}
	fmt.Fprintf(out, "\n%d fine, %d wrong, %d to consider, %d not looked at\n", r.count(fine), r.count(wrong), r.count(advice), r.count(skipped))
}

// lookWithin bounds each look at a store.
const lookWithin = 10 * time.Second

func (r *report) examine(ctx context.Context, cfg doctorConfig) {
	if cfg.DatabaseURL == "" {
		r.add(skipped, "Postgres, roles, migrations and keys", "set DATABASE_URL, with the user who owns the schema")
	} else {
		r.postgres(ctx, cfg)
	}
	if cfg.RedisURL == "" {
		r.add(skipped, "Redis", "set REDIS_URL")
	} else {
		r.redis(ctx, cfg.RedisURL)
	}
	if cfg.PinInternalURL == "" {
		r.add(skipped, "whether pin-internal answers where it should not", "run the doctor where the public comes from, with PIN_INTERNAL_URL")
	} else {
		r.outside(ctx, cfg.PinInternalURL)
	}
}

// outside asks at the address of pin-internal from a place where it should not answer.
func (r *report) outside(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	address = strings.TrimSuffix(address, "/")
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.add(wrong, "PIN_INTERNAL_URL is no http:// or https:// URL", "set it to where pin-internal would answer, if it did")
		return
	}
	// What pin-internal says to everybody, and what it says to somebody without a key: a proxy may pass on only the latter.
	status, body, err := get(ctx, address+"/openapi.yaml")
	isIt := err == nil && status == http.StatusOK && strings.Contains(body, "/internal/v1/")
	if !isIt {
		status, _, err = get(ctx, address+"/internal/v1/instances/"+uuid.Nil.String()+"/lookup/identity?channel=email&external_id=doctor")
		isIt = err == nil && status == http.StatusUnauthorized
	}
	switch {
	case isIt:
		r.add(wrong, "pin-internal is to be reached from here", "it belongs on a private network, with the agents' runtimes and nobody else: publish no port of it, send nothing to it\nfrom a proxy that the public reaches, and drop in a firewall what comes from elsewhere; if this is an agent's host, all is well")
	case err == nil:
		r.add(advice, fmt.Sprintf("something answers %d here in the place of pin-internal, and does not look like it", status), "see what that is")
	default:
		r.add(fine, "pin-internal is not to be reached from here", "")
	}
}

func get(ctx context.Context, address string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", fmt.Errorf("asking: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("asking: %w", err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(content), err
}
