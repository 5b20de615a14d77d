package main

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/keyring"
)

// keyAge is after how long the doctor advises a new key.
const keyAge = 2 * 365 * 24 * time.Hour

// rings looks whether everything that lies under a key can be opened.
func (r *report) rings(ctx context.Context, db *sql.DB, cfg doctorConfig) error {
	counts, err := countKeys(ctx, db)
	if err != nil {
		return err
	}
	r.ring("PIN_KEYS", cfg.PinKeys, counts)
	r.ring("AUTH_KEYS", cfg.AuthKeys, counts)
	shared := slices.ContainsFunc(material(cfg.PinKeys), func(key string) bool { return slices.Contains(material(cfg.AuthKeys), key) })
	if shared {
		r.add(wrong, "PIN_KEYS and AUTH_KEYS share a key", "rotate one of them: whoever breaks into auth must not learn the pepper of the PINs")
	}
	return nil
}

// material returns the secrets of a ring without their ids.
func material(ring string) (keys []string) {
	for entry := range strings.SplitSeq(ring, ",") {
		if _, key, ok := strings.Cut(entry, ":"); ok {
			keys = append(keys, strings.TrimSpace(key))
		}
	}
	return keys
}

func (r *report) ring(name, text string, counts []keyCount) {
	if text == "" {
		r.add(skipped, "whether "+name+" opens everything", "set "+name)
		return
	}
	ring, err := keyring.Parse(text)
	if err != nil {
		r.add(wrong, name+": "+err.Error(), "make a key with countersign keys new")
		return
	}
	ids, used, opens := ring.IDs(), map[string]int{}, true
	for _, c := range counts {
		if c.Ring != name {
			continue
		}
		used[c.ID] += c.Count
		if !slices.Contains(ids, c.ID) {
			opens = false
			r.add(wrong, fmt.Sprintf("%d %s lie under the key %s, which is not on %s", c.Count, c.What, c.ID, name),
				"put that key back, at the end of the ring; PINs under a key that is lost must be set anew, one by one")
		}
	}
	if opens {
		r.add(fine, name+" opens everything", "")
	}
	for _, id := range ids[1:] {
		if used[id] == 0 {
			r.add(advice, fmt.Sprintf("nothing lies under the key %s of %s", id, name), "promote it if it was just appended; else retire it")
		} else {
			r.add(advice, fmt.Sprintf("%d still lie under the key %s of %s", used[id], id, name), "keep it: PINs are renewed as people type them, the rest by countersign keys renew")
		}
	}
	// An id that is no date says nothing of the key's age.
	if made, err := time.Parse(keyDate, strings.SplitN(ids[0], "-", 2)[0]); err == nil && time.Since(made) > keyAge {
		r.add(advice, fmt.Sprintf("the current key of %s is from %s", name, made.Format(time.DateOnly)), "rotate it: append, promote, retire")
	}
}
