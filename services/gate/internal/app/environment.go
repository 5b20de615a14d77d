package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/countersign/countersign/pkg/client"
)

// maxSecret is the size of the largest file with a secret.
const maxSecret = 64 * kibibyte

// environment returns the value of a variable, or "".
type environment func(name string) string

func newEnvironment(all []string) environment {
	values := make(map[string]string, len(all))
	for _, pair := range all {
		if name, text, found := strings.Cut(pair, "="); found {
			values[name] = text
		}
	}
	return func(name string) string { return values[name] }
}

// secret returns the value of the variable NAME, or the content of the file NAME_FILE. It is zero if both are empty. There is no flag
// for it, because every user of the machine can read the command lines. The error is a usageError.
func (e environment) secret(name string) (client.Secret, error) {
	path := e(name + "_FILE")
	switch {
	case path == "" && e(name) == "":
		return client.Secret{}, nil
	case path == "":
		return newSecret(e(name), name)
	case e(name) != "":
		return client.Secret{}, usageError{fmt.Errorf("%s and %s_FILE are both set", name, name)}
	}
	content, err := readSecret(path)
	if err != nil {
		return client.Secret{}, usageError{fmt.Errorf("reading the file in %s_FILE: %w", name, err)}
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return client.Secret{}, usageError{fmt.Errorf("the file in %s_FILE is empty", name)}
	}
	return newSecret(text, "the file in "+name+"_FILE")
}

// readSecret reads a file with a secret. The error does not contain the path: a secret that was given as the path would be shown.
func readSecret(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case len(content) > maxSecret:
		return nil, fmt.Errorf("it is larger than %d bytes", maxSecret)
	}
	return content, nil
}

// newSecret returns the secret that source has. Secrets are sent in HTTP headers.
func newSecret(text, source string) (client.Secret, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return client.Secret{}, usageError{fmt.Errorf("%s must be one line of ASCII characters without spaces", source)}
	}
	return client.NewSecret(text), nil
}

// forServer returns the environment without the settings of the gate: the server must not get the keys among them.
func forServer(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(pair string) bool { return strings.HasPrefix(pair, "COUNTERSIGN_") })
}
