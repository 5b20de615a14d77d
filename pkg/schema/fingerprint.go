package schema

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
)

// Fingerprint returns a hash of all migrations. Tests use it in the name of their template database, so that a changed
// migration gives a new template.
func Fingerprint() (string, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return "", fmt.Errorf("listing the migrations: %w", err)
	}
	sum := sha256.New()
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return "", fmt.Errorf("reading a migration: %w", err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}
