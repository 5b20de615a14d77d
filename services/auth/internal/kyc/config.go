package kyc

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Vendors is the table of vendors. To add a vendor, write a file like veriff.go and add its type here.
type Vendors struct {
	Sumsub  Sumsub
	Persona Persona
	Onfido  Onfido
	Veriff  Veriff
}

// all returns the vendors in the order of the table.
func (v Vendors) all() []vendor {
	var all []vendor
	for _, field := range reflect.ValueOf(v).Fields() {
		all = append(all, field.Interface().(interface{ vendor() vendor }).vendor())
	}
	return all
}

// WithoutLevels returns the vendors that may send events and whose every verification level is accepted.
func (v Vendors) WithoutLevels() (names []string) {
	for _, v := range v.all() {
		if len(v.secrets) > 0 && len(v.levels) == 0 {
			names = append(names, v.name)
		}
	}
	return names
}

// Config has the secrets that authenticate the senders of events. While a secret is replaced, the new secret and the old secret
// are both set.
type Config struct {
	Vendors Vendors
	// Bearer are static tokens of at least 16 characters, for a relay that has verified a vendor's signature itself.
	Bearer []string `envconfig:"KYC_BEARER_TOKEN"`
}

const (
	// maxSecrets limits the number of HMACs that one request with a body of 1 MiB can cost.
	maxSecrets = 2
	minBearer  = 16
)

// Validate returns an error that names every wrong setting and contains no value.
func (c Config) Validate() error {
	problems := []error{check("KYC_BEARER_TOKEN", c.Bearer, minBearer)}
	for _, v := range c.Vendors.all() {
		setting := "KYC_" + strings.ToUpper(v.name)
		problems = append(problems, check(setting+"_SECRET", v.secrets, 1))
		if slices.ContainsFunc(v.levels, func(name string) bool { return name == "" || strings.TrimSpace(name) != name }) {
			problems = append(problems, fmt.Errorf("%s_LEVELS must be a list of names, separated by commas without spaces around them", setting))
		}
	}
	return errors.Join(problems...)
}

func check(setting string, secrets []string, minLength int) error {
	isWrong := func(secret string) bool { return len(secret) < minLength || strings.TrimSpace(secret) != secret }
	if len(secrets) > maxSecrets || slices.ContainsFunc(secrets, isWrong) {
		return fmt.Errorf("%s must have one or two secrets of at least %d characters, separated by a comma without spaces", setting, minLength)
	}
	return nil
}

// Configured reports for each vendor, and for "bearer", whether a secret is set.
func (k *KYC) Configured() map[string]bool {
	configured := map[string]bool{"bearer": len(k.bearer) > 0}
	for _, v := range k.vendors {
		configured[v.name] = len(v.secrets) > 0
	}
	return configured
}
