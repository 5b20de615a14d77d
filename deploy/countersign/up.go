package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/countersign/countersign/pkg/schema"
)

// up runs the whole stack as processes of this machine until it is interrupted, or until a service ends of itself, which
// is an error. Everything it keeps lies in .local, where it expects the services' programs in bin.
func up(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return errors.New("up takes no arguments; PORT_BASE, DATABASE_URL and REDIS_URL are read from the environment")
	}
	err := runStack(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // interrupted while it was starting
	}
	return err
}

func runStack(ctx context.Context) (err error) {
	base, err := portBase()
	if err != nil {
		return err
	}
	local, err := openLocal(".local")
	if err != nil {
		return err
	}
	unlock, err := local.lock()
	if err != nil {
		return err
	}
	defer unlock()
	kept, err := local.secrets()
	if err != nil {
		return err
	}
	if err := requireFree(base); err != nil {
		return err
	}

	stores, err := openStores(ctx, local, base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.stop()) }()
	d, err := prepare(ctx, stores, local, kept)
	if err != nil {
		return err
	}
	services, err := newServices(base, stores, local, kept)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopServices(services)) }()
	if err := startServices(ctx, services, local); err != nil {
		return err
	}

	d = d.at(base, stores, local, kept)
	if err := local.write(demoFile, d); err != nil {
		return err
	}
	text, err := tour(d, place{Curl: "curl", Closing: fmt.Sprintf(`The APIs explain themselves at %s/docs, %s/docs and %s/docs.
Every key, password and address of the demo: %s
Ctrl-C stops everything; the data stays.`, d.AuthURL, d.PinAdminURL, d.PinInternalURL, local.path(demoFile))})
	if err != nil {
		return fmt.Errorf("writing the tour: %w", err)
	}
	fmt.Print(text)
	return watch(ctx, services, stores)
}

// prepare brings the database up to date and returns the demo data in it.
func prepare(ctx context.Context, stores *stackStores, local localFolder, kept secrets) (demo, error) {
	db, err := openDatabase(ctx, stores.databaseURL)
	if err != nil {
		return demo{}, err
	}
	defer db.Close()
	passwords := map[string]string{schema.RoleAuth: kept.AuthDB, schema.RolePinAdmin: kept.PinAdminDB, schema.RolePinInternal: kept.PinInternalDB}
	if err := prepareDatabase(ctx, db, passwords); err != nil {
		return demo{}, err
	}
	return demoData(ctx, db, local)
}

// watch returns nil when the stack is interrupted, an error when a service ends. A store that ends is only reported: the
// services answer without it as far as they can.
func watch(ctx context.Context, services []stackService, stores *stackStores) error {
	died, gone := make(chan error, len(services)), make(chan string, len(stores.servers))
	for i := range services {
		go func() {
			<-services[i].process.Done()
			died <- services[i].died()
		}()
	}
	for name, server := range stores.servers {
		go func() {
			<-server.Done()
			gone <- name
		}()
	}
	for {
		select {
		case <-ctx.Done():
			fmt.Println("\nStopping.")
			return nil
		case err := <-died:
			return err
		case name := <-gone:
			fmt.Fprintf(os.Stderr, "%s has ended; start the stack again to have it back\n", name)
		}
	}
}
