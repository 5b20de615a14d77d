package local

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

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/deploy/countersign/secrets"
	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

const (
	readyWithin = 30 * time.Second
	readyPoll   = 50 * time.Millisecond
	// A service takes up to 15 s to answer its long polls and its running requests.
	serviceStopsWithin = 20 * time.Second
	// lastLines is the number of log lines in an error.
	lastLines = 15
)

// serviceNames are also the names of the programs. The ports of the services follow PORT_BASE in this order.
var serviceNames = []string{"auth", "pin-admin", "pin-internal"}

// process is a service that the stack runs as a process.
type process struct {
	name string
	port int
	// env is the settings of this service. No service gets the secrets of another.
	env map[string]string

	child *child.Process
	log   string
}

func newServices(base int, stores *stackStores, dir folder.Folder, kept secrets.Services) ([]process, error) {
	authURL := localURL(base + 1)
	envs := []map[string]string{
		{"AUTH_KEYS": kept.AuthKeys, "PUBLIC_URL": authURL, "ALLOWED_ORIGINS": localURL(base + 2), "MAIL_DIR": dir.Path(mailFolder),
			"KYC_SUMSUB_SECRET": kept.KYCSumsub, "KYC_PERSONA_SECRET": kept.KYCPersona, "KYC_ONFIDO_SECRET": kept.KYCOnfido, "KYC_VERIFF_SECRET": kept.KYCVeriff},
		{"PIN_KEYS": kept.PinKeys, "AUTH_ISSUER": authURL, "APPROVAL_URL": localURL(base + 2)},
		{"PIN_KEYS": kept.PinKeys, "APPROVAL_URL": localURL(base + 2)},
	}
	passwords := []string{kept.AuthDB, kept.PinAdminDB, kept.PinInternalDB}
	var services []process
	for i, name := range serviceNames {
		databaseURL, err := database.URLAs(stores.databaseURL, schema.Roles[i], passwords[i])
		if err != nil {
			return nil, err
		}
		redisURL := stores.redisURL
		if stores.redisUsers {
			if redisURL, err = redisuser.URLAs(redisURL, schema.Roles[i], kept.RedisPasswords()[schema.Roles[i]]); err != nil {
				return nil, err
			}
		}
		envs[i]["DATABASE_URL"], envs[i]["REDIS_URL"] = databaseURL, redisURL
		services = append(services, process{name: name, port: base + 1 + i, env: envs[i]})
	}
	return services, nil
}

// startServices starts all services at once and returns when every service is ready.
func startServices(ctx context.Context, services []process, dir folder.Folder) error {
	for i := range services {
		if err := services[i].start(dir); err != nil {
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

// notInherited are the settings that a service must not inherit from this process's environment, with or without _FILE: each
// service gets its own.
var notInherited = []string{"DATABASE_URL", "REDIS_URL", "PIN_KEYS", "AUTH_KEYS", "AUTH_DB_PASSWORD", "PIN_ADMIN_DB_PASSWORD",
	"PIN_INTERNAL_DB_PASSWORD", "AUTH_REDIS_PASSWORD", "PIN_ADMIN_REDIS_PASSWORD", "PIN_INTERNAL_REDIS_PASSWORD",
	"LISTEN_ADDR", "OPS_LISTEN_ADDR", "PUBLIC_URL", "ALLOWED_ORIGINS", "AUTH_ISSUER", "APPROVAL_URL", "MAIL_DIR", "SMTP_URL",
	"KYC_SUMSUB_SECRET", "KYC_PERSONA_SECRET", "KYC_ONFIDO_SECRET", "KYC_VERIFF_SECRET"}

func (s *process) start(dir folder.Folder) (err error) {
	cmd := exec.Command(dir.Path("bin/" + s.name))
	cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(notInherited, strings.TrimSuffix(name, "_FILE"))
	})
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_ADDR=127.0.0.1:%d", s.port), fmt.Sprintf("OPS_LISTEN_ADDR=127.0.0.1:%d", s.port+opsOffset))
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	s.log = dir.Path(s.name + ".log")
	s.child, err = child.StartLogged(cmd, s.log, syscall.SIGKILL)
	return err
}

// ready waits until the service reports that it and its stores are ready.
func (s *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := service.AskReady(ctx, fmt.Sprintf("127.0.0.1:%d", s.port+opsOffset))
		if err == nil {
			return nil
		}
		select {
		case <-s.child.Done():
			return s.died()
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w; the end of %s:\n%s", s.name, err, s.log, child.LastLines(s.log, lastLines))
		case <-time.After(readyPoll):
		}
	}
}

func (s *process) died() error {
	return fmt.Errorf("%s ended with exit code %d; the end of %s:\n%s", s.name, s.child.ExitCode(), s.log, child.LastLines(s.log, lastLines))
}

// stopServices stops all services at once.
func stopServices(services []process) error {
	stopped := make(chan error)
	running := 0
	for i := range services {
		if p := services[i].child; p != nil {
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
