// Package config reads a service's settings from the environment. What is wrong is named and never printed: a setting
// may hold a secret, or a secret may have been put into the wrong one.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/kelseyhightower/envconfig"
)

// Load fills cfg, a pointer to a struct with envconfig tags, from the environment. For every variable NAME, NAME_FILE
// may give the path of a file that holds the value instead, as orchestrators hand over secrets.
func Load(cfg any) error {
	if err := readFiles(reflect.TypeOf(cfg).Elem()); err != nil {
		return err
	}
	err := envconfig.Process("", cfg)
	if parse := (*envconfig.ParseError)(nil); errors.As(err, &parse) {
		return fmt.Errorf("%s is not a valid %s", parse.KeyName, parse.TypeName)
	}
	return err
}

func readFiles(t reflect.Type) error {
	for i := range t.NumField() {
		field := t.Field(i)
		name := field.Tag.Get("envconfig")
		if field.Type.Kind() == reflect.Struct && name == "" {
			if err := readFiles(field.Type); err != nil {
				return err
			}
			continue
		}
		path := os.Getenv(name + "_FILE")
		if name == "" || path == "" {
			continue
		}
		if os.Getenv(name) != "" {
			return fmt.Errorf("%s and %s_FILE are both set", name, name)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading the file that %s_FILE names: %w", name, errors.Unwrap(err))
		}
		if err := os.Setenv(name, strings.TrimSpace(string(content))); err != nil {
			return fmt.Errorf("setting %s: %w", name, errors.Unwrap(err))
		}
	}
	return nil
}
