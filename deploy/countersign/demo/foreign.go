package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/services/auth/operator"
)

// ErrForeign says that a database holds data that the demo did not make.
var ErrForeign = errors.New("this database holds data that the demo did not make; the demo adds an admin and an admin API key, so it " +
	"uses only an empty database or its own")

// Check checks a database before the migrations are applied. It returns ErrForeign if the database contains data that the demo
// did not make, and schema.ErrTooOld for a database from before the first release. It accepts the database whose URL is in the
// folder's File.
func Check(ctx context.Context, db *sqlx.DB, from folder.Folder, databaseURL string) error {
	var d Data
	if err := from.Read(File, &d); err != nil {
		return err
	}
	if d.DatabaseURL == databaseURL {
		return nil
	}
	empty, err := schema.Empty(ctx, db.DB)
	if err != nil {
		return err
	}
	if !empty {
		return d.requireNoForeignData(ctx, db)
	}
	var tables bool
	const q = `select exists (select from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm'))`
	if err := db.GetContext(ctx, &tables, q); err != nil {
		return fmt.Errorf("looking for tables: %w", err)
	}
	if tables {
		return fmt.Errorf("%w (it has tables of another program)", ErrForeign)
	}
	return nil
}

// requireNoForeignData returns ErrForeign if a user, customer, instance or API key in the database does not have a name of the
// demo. It accepts every database that contains the instance of d.
func (d Data) requireNoForeignData(ctx context.Context, db *sqlx.DB) error {
	if d.InstanceID != uuid.Nil {
		err := directory.Directory{DB: db}.HasInstance(ctx, d.InstanceID)
		if !errors.Is(err, directory.ErrNoInstance) {
			return err
		}
	}
	for _, find := range []func(context.Context, *sqlx.DB) (what string, err error){foreignUser, foreignCustomer, foreignInstance, foreignAPIKey} {
		what, err := find(ctx, db)
		if err != nil {
			return fmt.Errorf("looking for data that is not the demo's: %w", err)
		}
		if what != "" {
			return fmt.Errorf("%w (it has %s)", ErrForeign, what)
		}
	}
	return nil
}

// The demo makes few rows, so rows beyond this page are not the demo's.
var firstPage = page.Page{Number: 1, Size: 100}

func foreignUser(ctx context.Context, db *sqlx.DB) (string, error) {
	others, err := operator.HasOtherUsers(ctx, db, adminEmail, customerEmail)
	if !others {
		return "", err
	}
	return "a user who is not one of the demo's", err
}

func foreignCustomer(ctx context.Context, db *sqlx.DB) (string, error) {
	customers, err := directory.Directory{DB: db}.Customers(ctx, firstPage)
	return foreign(customers, "customer", func(c directory.Customer) bool { return c.Email == customerEmail }), err
}

func foreignInstance(ctx context.Context, db *sqlx.DB) (string, error) {
	instances, err := directory.Directory{DB: db}.Instances(ctx, firstPage)
	return foreign(instances, "instance", func(i directory.Instance) bool { return i.Name == instanceName }), err
}

func foreignAPIKey(ctx context.Context, db *sqlx.DB) (string, error) {
	keys, err := credential.Keys{DB: db}.APIKeys(ctx, firstPage)
	return foreign(keys, "API key", func(k credential.APIKey) bool { return k.Name != nil && *k.Name == keyName }), err
}

// foreign describes an item of the list that is not the demo's. It returns "" if there is no such item.
func foreign[T any](list page.Of[T], noun string, isDemo func(T) bool) string {
	for _, item := range list.Items {
		if !isDemo(item) {
			return "another " + noun
		}
	}
	if list.Total > len(list.Items) {
		return fmt.Sprintf("more than %d %ss", len(list.Items), noun)
	}
	return ""
}
