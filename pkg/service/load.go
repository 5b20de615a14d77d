package service

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/kelseyhightower/envconfig"
)

// Load fills settings, a pointer to a struct with envconfig tags, from the environment. Then it calls their Validate, if they
// have that method. For each variable NAME, NAME_FILE can be the path of a file that contains the value, because
// orchestrators pass secrets as files. Errors name the variable and never contain its value, which may be a secret.
func Load(settings any) error {
	for _, name := range Names(settings) {
		if err := readFile(name); err != nil {
			return err
		}
	}
	err := envconfig.Process("", settings)
	if parse := (*envconfig.ParseError)(nil); errors.As(err, &parse) {
		return fmt.Errorf("%s is not a valid %s", parse.KeyName, parse.TypeName)
	}
	if checked, ok := settings.(interface{ Validate() error }); ok && err == nil {
		return checked.Validate()
	}
	return err
}

func readFile(name string) error {
	path := os.Getenv(name + "_FILE")
	if path == "" {
		return nil
	}
	if os.Getenv(name) != "" {
		return fmt.Errorf("%s and %s_FILE are both set", name, name)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the file in %s_FILE: %w", name, errors.Unwrap(err)) // the error itself contains the path
	}
	if err := os.Setenv(name, strings.TrimSpace(string(content))); err != nil {
		return fmt.Errorf("setting %s: %w", name, errors.Unwrap(err))
	}
	return nil
}

// Names returns the names of all variables that Load reads into settings. A tag gives the name. Fields without a tag in a
// struct with a tag are named after both: LockMax in the struct PIN_BUDGET is PIN_BUDGET_LOCK_MAX. Such fields have no tags
// because envconfig would then also read the variable LOCK_MAX.
func Names(settings any) []string {
	return names(reflect.TypeOf(settings).Elem(), "")
}

var wordEnd = regexp.MustCompile(`([a-z])([A-Z])`)

func names(t reflect.Type, prefix string) []string {
	var all []string
	for i := range t.NumField() {
		field := t.Field(i)
		name := field.Tag.Get("envconfig")
		switch {
		case !field.IsExported():
		case field.Type.Kind() == reflect.Struct:
			all = append(all, names(field.Type, name)...)
		case name != "":
			all = append(all, name)
		case prefix != "":
			all = append(all, prefix+"_"+strings.ToUpper(wordEnd.ReplaceAllString(field.Name, "${1}_${2}")))
		}
	}
	return all
}
