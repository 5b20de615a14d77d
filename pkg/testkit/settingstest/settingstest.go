// Package settingstest tests the settings of a service.
package settingstest

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/service"
)

// root is the path from the package internal/app of a service to the root of the repository.
const root = "../../../.."

// Load loads settings from an environment with these variables.
func Load(t *testing.T, settings any, variables map[string]string) error {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	return service.Load(settings)
}

// Refused loads settings from a valid environment with one wrong variable at a time. Each entry of wrong is NAME=value, and
// optionally a text. The error of Load must contain NAME and the text. It must not contain "canary", which stands for a
// secret, or a value of valid.
func Refused[S any](t *testing.T, settings func() S, valid map[string]string, wrong [][]string) {
	t.Helper()
	for _, entry := range wrong {
		name, value, _ := strings.Cut(entry[0], "=")
		t.Run(entry[0], func(t *testing.T) {
			environment := maps.Clone(valid)
			delete(environment, strings.TrimSuffix(name, "_FILE"))
			environment[name] = value
			err := Load(t, settings(), environment)
			for _, text := range append(entry[1:], name) {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Fatalf("got %v, want %q", err, text)
				}
			}
			for _, secret := range append(slices.Collect(maps.Values(valid)), "canary") {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error contains a value: %v", err)
				}
			}
		})
	}
}

// Documented fails the test unless every variable of settings is in .env.example and can be set for this service in
// docker-compose.yml. Listen addresses need not be in docker-compose.yml, because the images set them.
func Documented(t *testing.T, settings any, name string) {
	t.Helper()
	example, compose := read(t, ".env.example"), composeService(t, name)
	for _, variable := range service.Names(settings) {
		if !regexp.MustCompile(`(?m)^#?` + variable + `=`).MatchString(example) {
			t.Errorf("%s is not in .env.example", variable)
		}
		if !strings.HasSuffix(variable, "LISTEN_ADDR") && !regexp.MustCompile(`(?m)^ +`+variable+`(_FILE)?:`).MatchString(compose) {
			t.Errorf("%s is not in docker-compose.yml, under %s", variable, name)
		}
	}
}

// composeService returns the lines of a service in docker-compose.yml.
func composeService(t *testing.T, name string) string {
	t.Helper()
	_, text, found := strings.Cut(read(t, "docker-compose.yml"), "\n  "+name+":\n")
	if !found {
		t.Fatalf("docker-compose.yml has no service %s", name)
	}
	if next := regexp.MustCompile(`(?m)^  \S`).FindStringIndex(text); next != nil {
		text = text[:next[0]]
	}
	return text
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
