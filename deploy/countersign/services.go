package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

const (
	readyWithin = 30 * time.Second
	readyPoll   = 50 * time.Millisecond
	// A service takes up to 15 s to answer its long polls and finish what runs.
	serviceStopsWithin = 20 * time.Second
	lastLines          = 15
)

// serviceNames are also the names of their programs; their ports count on from PORT_BASE in this order.
var serviceNames = []string{"auth", "pin-admin", "pin-internal"}

// stackService is one of the three, as a process of the local stack.
type stackService struct {
	name string
	port int
	// env holds what is its own; no service is told another's secrets.
	env map[string]string

	process *child.Process
	log     string
}

func newServices(base int, stores *stackStores, local localFolder, kept secrets) ([]stackService, error) {
	authURL := localURL(base + 1)
	envs := []map[string]string{
		{"AUTH_KEYS": kept.AuthKeys, "PUBLIC_URL": authURL, "ALLOWED_ORIGINS": localURL(base + 2), "MAIL_DIR": local.path(mailFolder),
			"KYC_SUMSUB_SECRET": kept.KYCSumsub, "KYC_PERSONA_SECRET": kept.KYCPersona, "KYC_ONFIDO_SECRET": kept.KYCOnfido, "KYC_VERIFF_SECRET": kept.KYCVeriff},
		{"PIN_KEYS": kept.PinKeys, "AUTH_ISSUER": authURL},
		{"PIN_KEYS": kept.PinKeys},
	}
	passwords := []string{kept.AuthDB, kept.PinAdminDB, kept.PinInternalDB}
	var services []stackService
	for i, name := range serviceNames {
		databaseURL, err := stores.as(schema.Roles[i], passwords[i])
		if err != nil {
			return nil, err
		}
		envs[i]["DATABASE_URL"], envs[i]["REDIS_URL"] = databaseURL, stores.redisURL
		services = append(services, stackService{name: name, port: base + 1 + i, env: envs[i]})
	}
	return services, nil
}

// startServices starts them all at once and returns when each of them is ready.
func startServices(ctx context.Context, services []stackService, local localFolder) error {
	for i := range services {
		if err := services[i].start(local); err != nil {
			return err
		}
	}
	for i := range services {
		if err := services[i].ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ours are the settings that a service must not inherit from our environment: it gets its own, and no other service's.
// Each might also come as a _FILE.
var ours = []string{"DATABASE_URL", "REDIS_URL", "PIN_KEYS", "AUTH_KEYS", "AUTH_DB_PASSWORD", "PIN_ADMIN_DB_PASSWORD",
	"PIN_INTERNAL_DB_PASSWORD", "LISTEN_ADDR", "OPS_LISTEN_ADDR", "PUBLIC_URL", "ALLOWED_ORIGINS", "AUTH_ISSUER", "MAIL_DIR", "SMTP_URL",
	"KYC_SUMSUB_SECRET", "KYC_PERSONA_SECRET", "KYC_ONFIDO_SECRET", "KYC_VERIFF_SECRET"}

func (s *stackService) start(in localFolder) (err error) {
	cmd := exec.Command(in.path("bin/" + s.name))
	cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(ours, strings.TrimSuffix(name, "_FILE"))
	})
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_ADDR=127.0.0.1:%d", s.port), fmt.Sprintf("OPS_LISTEN_ADDR=127.0.0.1:%d", s.port+opsOffset))
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	s.log = in.path(s.name + ".log")
	s.process, err = child.StartLogged(cmd, s.log, syscall.SIGKILL)
	return err
}

// ready returns when the service says that it and its stores are.
func (s *stackService) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := service.AskReady(ctx, fmt.Sprintf("127.0.0.1:%d", s.port+opsOffset))
		if err == nil {
			return nil
		}
		select {
		case <-s.process.Done():
			return s.died()
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w; the end of %s:\n%s", s.name, err, s.log, child.LastWords(s.log, lastLines))
		case <-time.After(readyPoll):
		}
	}
}

func (s *stackService) died() error {
	return fmt.Errorf("%s ended with exit code %d; the end of %s:\n%s", s.name, s.process.ExitCode(), s.log, child.LastWords(s.log, lastLines))
}

// stopServices stops them all at once.
func stopServices(services []stackService) error {
	stopped := make(chan error)
	running := 0
	for i := range services {
		if p := services[i].process; p != nil {
			running++
			go func() { stopped <- p.Stop(syscall.SIGTERM, serviceStopsWithin) }()
		}
	}
	var err error
	for range running {
		err = errors.Join(err, <-stopped)
	}
	return err
}
