package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/service"
)

// keys prints how much lies under each key id, so that an operator knows when a key can go; keys new prints a fresh key;
// keys renew seals what auth keeps anew under its current key. PINs are renewed as people type them. keys rotate-signing has
// auth make a new key for access tokens; keys revoke-signing does so at once and ends all access tokens that there are.
func keys(ctx context.Context, args []string) error {
	what := strings.Join(args, " ")
	switch what {
	case "new":
		_, err := fmt.Println(newKey())
		return err
	case "", "renew", "rotate-signing", "revoke-signing":
	default:
		return errors.New("keys: no arguments, or new, renew, rotate-signing or revoke-signing")
	}
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
		AuthKeys    string `envconfig:"AUTH_KEYS"`
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	db, err := openDatabase(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	switch what {
	case "renew":
		err = renewSeals(ctx, db, cfg.AuthKeys)
	case "rotate-signing":
		err = changeSigningKeys(ctx, db, "signing_keys.rotated", rotateSigningKeys)
	case "revoke-signing":
		err = changeSigningKeys(ctx, db, "signing_keys.revoked", revokeSigningKeys)
	}
	if err != nil {
		return err
	}
	return printKeys(ctx, db, os.Stdout)
}

// newKey makes an entry for PIN_KEYS or AUTH_KEYS. Its id tells when it was made, and no two are alike.
func newKey() string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: the runtime aborts when the system has no randomness
	id := time.Now().UTC().Format(keyDate) + "-" + strings.ToLower(rand.Text()[:6])
	return id + ":" + base64.StdEncoding.EncodeToString(secret)
}

// keyDate is what the id of a key of ours begins with.
const keyDate = "20060102"

// keyCount is how much of one thing lies under one key.
type keyCount struct {
	Ring, ID, What string
	Count          int
}

func countKeys(ctx context.Context, db *sql.DB) ([]keyCount, error) {
	q := `
		select 'PIN_KEYS', coalesce(substring(verifier from 'keyid=([^$,]+)'), '(none)'), 'PINs', count(*)
		from pin_holders where verifier is not null group by 2`
	for _, s := range seals {
		q += fmt.Sprintf(`
		union all
		select 'AUTH_KEYS', split_part(encode(%s, 'escape'), ':', 1), '%s', count(*)
		from %s group by 2`, s.column, s.what, s.table)
	}
	q += ` order by 1, 2, 3`
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("counting: %w", err)
	}
	defer rows.Close()
	var counts []keyCount
	for rows.Next() {
		var c keyCount
		if err := rows.Scan(&c.Ring, &c.ID, &c.What, &c.Count); err != nil {
			return nil, fmt.Errorf("reading a count: %w", err)
		}
		counts = append(counts, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the counts: %w", err)
	}
	return counts, nil
}

func printKeys(ctx context.Context, db *sql.DB, out io.Writer) error {
	counts, err := countKeys(ctx, db)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RING\tKEY ID\tWHAT\tCOUNT")
	for _, c := range counts {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\n", c.Ring, c.ID, c.What, c.Count)
	}
	return table.Flush()
}

// seals are what auth keeps sealed under AUTH_KEYS: in which column of which table, bound to which id.
var seals = []struct {
	what, table, column, id string
	purpose                 keyring.Purpose
}{
	{"signing keys", "signing_keys", "private_sealed", "id", keyring.SigningKeys},
	{"second factors", "second_factors", "secret_sealed", "user_id", keyring.SecondFactors},
	{"exchange keys", "exchange_keys", "credentials_sealed", "id", keyring.ExchangeKeys},
}

// renewSeals seals everything anew under the current key of AUTH_KEYS. auth may go on meanwhile.
func renewSeals(ctx context.Context, db *sql.DB, authKeys string) error {
	ring, err := keyring.Parse(authKeys)
	if err != nil {
		return fmt.Errorf("AUTH_KEYS: %w", err)
	}
	for _, s := range seals {
		sealed, err := outdated(ctx, db, s.table, s.column, s.id, ring.Current())
		if err != nil {
			return fmt.Errorf("reading the %s: %w", s.what, err)
		}
		for id, seal := range sealed {
			plain, err := ring.Open(s.purpose, id.String(), seal)
			if err != nil {
				return fmt.Errorf("opening one of the %s, %s: %w", s.what, id, err)
			}
			fresh, err := ring.Seal(s.purpose, id.String(), plain)
			if err != nil {
				return fmt.Errorf("sealing one of the %s, %s: %w", s.what, id, err)
			}
			// What was replaced meanwhile has a newer content.
			q := fmt.Sprintf(`update %s set %s = $3 where %s = $1 and %[2]s = $2`, s.table, s.column, s.id)
			if _, err := db.ExecContext(ctx, q, id, seal, fresh); err != nil {
				return fmt.Errorf("keeping one of the %s, %s: %w", s.what, id, err)
			}
		}
	}
	return nil
}

// outdated returns what is sealed under other keys than the current one, by id.
func outdated(ctx context.Context, db *sql.DB, table, column, id, current string) (map[uuid.UUID][]byte, error) {
	q := fmt.Sprintf(`select %s, %s from %s where split_part(encode(%[2]s, 'escape'), ':', 1) <> $1`, id, column, table)
	rows, err := db.QueryContext(ctx, q, current)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sealed := map[uuid.UUID][]byte{}
	for rows.Next() {
		var id uuid.UUID
		var seal []byte
		if err := rows.Scan(&id, &seal); err != nil {
			return nil, err
		}
		sealed[id] = seal
	}
	return sealed, rows.Err()
}
