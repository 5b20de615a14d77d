// Package demostack starts, for a test, what `make run` starts: a private Postgres and Redis, the three services and the
// demo data.
package demostack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

const (
	startTime = 2 * time.Minute
	stopTime  = time.Minute
)

// Stack is a running stack. The fields are those of .local/demo.json.
type Stack struct {
	AuthURL          string `json:"auth_url"`
	PinAdminURL      string `json:"pin_admin_url"`
	PinInternalURL   string `json:"pin_internal_url"`
	DatabaseURL      string `json:"database_url"`
	AdminEmail       string `json:"admin_email"`
	AdminPassword    string `json:"admin_password"`
	CustomerID       string `json:"customer_id"`
	CustomerEmail    string `json:"customer_email"`
	CustomerPassword string `json:"customer_password"`
	APIKey           string `json:"api_key"`
	ProxyKey         string `json:"proxy_key"`
	InstanceID       string `json:"instance_id"`
	MailDir          string `json:"mail_dir"`

	process *child.Process
}

// Start builds the programs into folder/.local/bin, runs `countersign up` in folder with further settings as NAME=value,
// and returns when every service is ready. If the test runs as root, other users must be able to enter the folder. Otherwise
// Postgres and Redis keep their data below /var/tmp, and the data stays there after the test.
func Start(folder string, settings ...string) (*Stack, error) {
	const module = "github.com/countersign/countersign/"
	bin := filepath.Join(folder, ".local", "bin")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", module+"deploy/countersign",
		module+"services/auth", module+"services/pin-admin", module+"services/pin-internal")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the stack: %w\n%s", err, out)
	}
	cmd := exec.Command(filepath.Join(bin, "countersign"), "up")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "PORT_BASE="+strconv.Itoa(freePorts()), "DATABASE_URL=", "REDIS_URL=")
	cmd.Env = append(cmd.Env, settings...)
	log := filepath.Join(folder, "up.log")
	process, err := child.StartLogged(cmd, log, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	s := &Stack{process: process}
	if err := s.readWhenReady(filepath.Join(folder, ".local", "demo.json"), log); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// readWhenReady reads demo.json, which `countersign up` writes when every service is ready.
func (s *Stack) readWhenReady(path, log string) error {
	deadline := time.After(startTime)
	for {
		if content, err := os.ReadFile(path); err == nil {
			return json.Unmarshal(content, s)
		}
		select {
		case <-s.process.Done():
			return fmt.Errorf("the stack did not start:\n%s", child.LastLines(log, 20))
		case <-deadline:
			return fmt.Errorf("the stack is not ready after %s:\n%s", startTime, child.LastLines(log, 20))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the stack. It returns an error if the stack had to be killed.
func (s *Stack) Stop() error { return s.process.Stop(syscall.SIGTERM, stopTime) }

// freePorts returns a PORT_BASE whose ports are free: `countersign up` uses the base plus 1 to 5 and plus 1001 to 1005.
func freePorts() int {
	for base := 20000 + os.Getpid()%2000*5; ; base += 10 {
		free := true
		for i := 1; i <= 5; i++ {
			free = free && localstores.PortFree(base+i) && localstores.PortFree(base+1000+i)
		}
		if free {
			return base
		}
	}
}
