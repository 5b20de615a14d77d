package kyc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Config holds the secrets by which events are proved, each with a second one while it is replaced.
type Config struct {
	Sumsub  []string `envconfig:"KYC_SUMSUB_SECRET"`
	Persona []string `envconfig:"KYC_PERSONA_SECRET"`
	Onfido  []string `envconfig:"KYC_ONFIDO_SECRET"`
	Veriff  []string `envconfig:"KYC_VERIFF_SECRET"`
	// Bearer are static tokens, of at least minBearer characters, for who cannot sign.
	Bearer []string `envconfig:"KYC_BEARER_TOKEN"`
}

const (
	// maxSecrets is the new and the old one: each costs another look at the whole body.
	maxSecrets = 2
	minBearer  = 16
)

// Validate names everything that is wrong and prints none of it.
func (c Config) Validate() error {
	var problems []error
	for _, s := range []struct {
		name    string
		secrets []string
		least   int
	}{
		{"KYC_SUMSUB_SECRET", c.Sumsub, 1}, {"KYC_PERSONA_SECRET", c.Persona, 1}, {"KYC_ONFIDO_SECRET", c.Onfido, 1},
		{"KYC_VERIFF_SECRET", c.Veriff, 1}, {"KYC_BEARER_TOKEN", c.Bearer, minBearer},
	} {
		wrong := func(secret string) bool { return len(secret) < s.least || strings.TrimSpace(secret) != secret }
		if len(s.secrets) > maxSecrets || slices.ContainsFunc(s.secrets, wrong) {
			problems = append(problems, fmt.Errorf("%s is not one or two secrets of at least %d characters, with a comma and no blank between", s.name, s.least))
		}
	}
	return errors.Join(problems...)
}

// Configured says who can send events: the vendors, and "bearer" for the static token.
func (k *KYC) Configured() map[string]bool {
	configured := map[string]bool{"bearer": len(k.config.Bearer) > 0}
	for _, v := range vendors {
		configured[v.name] = len(v.secrets(k.config)) > 0
	}
	return configured
}
