package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/deploy/countersign/keys"
	"github.com/countersign/countersign/pkg/keyring"
)

// maxKeyAge is the age of a current key above which the doctor advises to replace it.
const maxKeyAge = 2 * 365 * 24 * time.Hour

// keyrings checks that the keyrings contain every key under which a value is stored.
func (r *Report) keyrings(ctx context.Context, db *sqlx.DB, c Config) error {
	counts, err := keys.CountAll(ctx, db)
	if err != nil {
		return err
	}
	r.keyring(keys.PIN, c.PinKeys, counts)
	r.keyring(keys.Auth, c.AuthKeys, counts)
	shared := slices.ContainsFunc(keyMaterial(c.PinKeys), func(key string) bool { return slices.Contains(keyMaterial(c.AuthKeys), key) })
	if shared {
		r.add(wrong, "PIN_KEYS and AUTH_KEYS contain the same key", "replace the key in one of the keyrings: a break-in at auth must not reveal the pepper of the PINs")
	}
	return nil
}

// keyMaterial returns the keys of a ring without their ids.
func keyMaterial(ring string) (material []string) {
	for entry := range strings.SplitSeq(ring, ",") {
		if _, key, ok := strings.Cut(entry, ":"); ok {
			material = append(material, strings.TrimSpace(key))
		}
	}
	return material
}

func (r *Report) keyring(name, text string, counts []keys.Count) {
	if text == "" {
		r.add(skipped, "whether "+name+" has every key in use", "set "+name)
		return
	}
	ring, err := keyring.Parse(text)
	if err != nil {
		r.add(wrong, name+": "+err.Error(), "make a key with countersign keys new")
		return
	}
	ids, used, complete := ring.IDs(), map[string]int{}, true
	for _, c := range counts {
		if c.Ring != name {
			continue
		}
		used[c.KeyID] += c.Count
		if !slices.Contains(ids, c.KeyID) {
			complete = false
			r.add(wrong, fmt.Sprintf("%d %s are stored under the key %s, which is not in %s", c.Count, c.Values, c.KeyID, name),
				"add this key to the end of the keyring again. If the key is lost, every PIN that is stored under it must be set again")
		}
	}
	if complete {
		r.add(ok, name+" has every key in use", "")
	}
	for _, id := range ids[1:] {
		if used[id] == 0 {
			r.add(advice, fmt.Sprintf("nothing is stored under the key %s of %s", id, name), "promote the key if it is new; otherwise retire it")
		} else {
			r.add(advice, fmt.Sprintf("%d values are stored under the old key %s of %s", used[id], id, name), "keep the key until nothing is stored under it. A PIN moves to the current key when its holder types it; countersign keys\nrenew moves sealed values")
		}
	}
	if made, ok := keys.Date(ids[0]); ok && time.Since(made) > maxKeyAge {
		r.add(advice, fmt.Sprintf("the current key of %s is from %s", name, made.Format(time.DateOnly)), "replace it with countersign secrets append, promote and retire")
	}
}
