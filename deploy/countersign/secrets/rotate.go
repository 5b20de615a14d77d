package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/keys"
	"github.com/countersign/countersign/pkg/keyring"
)

// ErrRing says that a keyring's name is neither PIN_KEYS nor AUTH_KEYS.
var ErrRing = errors.New("the keyrings are PIN_KEYS and AUTH_KEYS")

// Append adds a new key to the end of a ring. Nothing is stored under it yet. Append, Promote and Retire write the ids of the
// ring's keys to out.
func (s *Stack) Append(ring string, out io.Writer) error {
	return s.change(ring, out, func(entries []string) ([]string, error) { return append(entries, keys.New()), nil })
}

// Promote moves the last key of a ring to the front. After a restart, the services store new values under it.
func (s *Stack) Promote(ring string, out io.Writer) error {
	return s.change(ring, out, func(entries []string) ([]string, error) {
		last := len(entries) - 1
		return append([]string{entries[last]}, entries[:last]...), nil
	})
}

// Retire removes the keys after the first key of a ring under which nothing is stored in the database of a URL.
func (s *Stack) Retire(ctx context.Context, ring, databaseURL string, out io.Writer) error {
	return s.change(ring, out, func(entries []string) ([]string, error) {
		db, err := database.Open(ctx, databaseURL)
		if err != nil {
			return nil, err
		}
		defer db.Close()
		counts, err := keys.CountAll(ctx, db)
		if err != nil {
			return nil, err
		}
		return retire(ring, entries, counts, out), nil
	})
}

// retire returns the first entry and every later entry under which values are stored. It writes to out why a later entry stays.
func retire(ring string, entries []string, counts []keys.Count, out io.Writer) []string {
	kept := entries[:1]
	for _, entry := range entries[1:] {
		id, _, _ := strings.Cut(entry, ":")
		used := false
		for _, c := range counts {
			if c.Ring == ring && c.KeyID == id {
				used = true
				fmt.Fprintf(out, "%s stays: %d %s are stored under it\n", id, c.Count, c.Values)
			}
		}
		if used {
			kept = append(kept, entry)
		}
	}
	return kept
}

// change replaces the entries of a ring, stores the secrets and writes the copies for the containers.
func (s *Stack) change(ring string, out io.Writer, do func(entries []string) ([]string, error)) error {
	var all containers
	if err := s.kept.Read(File, &all); err != nil {
		return err
	}
	text, ok := map[string]*string{keys.PIN: &all.PinKeys, keys.Auth: &all.AuthKeys}[ring]
	if !ok {
		return ErrRing
	}
	if _, err := keyring.Parse(*text); err != nil {
		return fmt.Errorf("%s: %w", ring, err)
	}
	entries, err := do(strings.Split(*text, ","))
	if err != nil {
		return err
	}
	*text = strings.Join(entries, ",")
	changed, err := keyring.Parse(*text)
	if err != nil {
		return fmt.Errorf("%s: %w", ring, err)
	}
	if err := s.write(all); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", ring, strings.Join(changed.IDs(), ", "))
	return nil
}
