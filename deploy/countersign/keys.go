package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign/pkg/config"
)

// keys prints how much lies under each key id, so that an operator knows when a key can go; keys new prints a fresh key.
func keys(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == "new" {
		_, err := fmt.Println(newKey())
		return err
	}
	if len(args) > 0 {
		return errors.New("keys: no arguments, or new")
	}
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
	}
	if err := config.Load(&cfg); err != nil {
		return err
	}
	return countKeys(ctx, cfg.DatabaseURL, os.Stdout)
}

// newKey makes an entry for PIN_KEYS or AUTH_KEYS. Its id tells when it was made, and no two are alike.
func newKey() string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: the runtime aborts when the system has no randomness
	id := time.Now().UTC().Format("20060102") + "-" + strings.ToLower(rand.Text()[:6])
	return id + ":" + base64.StdEncoding.EncodeToString(secret)
}

func countKeys(ctx context.Context, address string, out io.Writer) error {
	db, err := openDatabase(ctx, address)
	if err != nil {
		return err
	}
	defer db.Close()
	const q = `
		select 'PIN_KEYS', coalesce(substring(verifier from 'keyid=([^$,]+)'), '(none)'), 'PINs', count(*)
		from pin_holders where verifier is not null group by 2
		union all
		select 'AUTH_KEYS', split_part(encode(private_sealed, 'escape'), ':', 1), 'signing keys', count(*)
		from signing_keys group by 2
		order by 1, 2, 3`
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	defer rows.Close()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RING\tKEY ID\tWHAT\tCOUNT")
	for rows.Next() {
		var ring, id, what string
		var count int
		if err := rows.Scan(&ring, &id, &what, &count); err != nil {
			return fmt.Errorf("reading a count: %w", err)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\n", ring, id, what, count)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the counts: %w", err)
	}
	return table.Flush()
}
