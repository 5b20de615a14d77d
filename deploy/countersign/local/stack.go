// Package local runs Countersign on this machine: a private Postgres and Redis, and the three services as processes. It keeps
// everything in one folder, and expects the programs of the services in the folder's subfolder bin.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/demo"
	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/deploy/countersign/secrets"
)

const (
	// Folder is the name of the folder, in the working directory.
	Folder = ".local"
	// mailFolder is where auth writes its mails.
	mailFolder = "mail"
)

// Run starts the stack, writes the tour to out, and runs until ctx ends. It returns an error when the stack cannot start or when
// a service ends. Every port is PORT_BASE plus a constant.
func Run(ctx context.Context, out, log io.Writer) (err error) {
	base, err := portBase()
	if err != nil {
		return err
	}
	dir, err := openFolder(Folder)
	if err != nil {
		return err
	}
	unlock, err := dir.TryLock("up.lock")
	if errors.Is(err, folder.ErrLocked) {
		return errors.New("the stack of this folder is already running: use it, or stop it with Ctrl-C in its terminal")
	}
	if err != nil {
		return err
	}
	defer unlock()
	kept, err := secrets.Load(dir)
	if err != nil {
		return err
	}
	if err := requireFree(base); err != nil {
		return err
	}
	stores, err := openStores(ctx, dir, base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.stop()) }()
	if err := stores.createRedisUsers(ctx, kept, log); err != nil {
		return err
	}
	d, err := prepare(ctx, stores, dir, kept)
	if err != nil {
		return err
	}
	services, err := newServices(base, stores, dir, kept)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopServices(services)) }()
	if err := startServices(ctx, services, dir); err != nil {
		return err
	}
	locate(&d, base, stores, dir, kept)
	if err := dir.Write(demo.File, d); err != nil {
		return err
	}
	if err := printTour(out, d, dir); err != nil {
		return err
	}
	return watch(ctx, services, stores, out, log)
}

// openFolder makes the folder of the stack unless it exists.
func openFolder(path string) (folder.Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding the local folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("making the local folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(path, mailFolder), 0o700); err != nil {
		return "", fmt.Errorf("making the mail folder: %w", err)
	}
	return folder.Folder(path), nil
}

// prepare applies the migrations and returns the demo data of the database. Before it changes a database that the stack did not
// create, it checks that the database is empty or belongs to the demo.
func prepare(ctx context.Context, stores *stackStores, dir folder.Folder, kept secrets.Services) (demo.Data, error) {
	db, err := database.Open(ctx, stores.databaseURL)
	if err != nil {
		return demo.Data{}, err
	}
	defer db.Close()
	if stores.servers["Postgres"] == nil {
		if err := demo.Check(ctx, db, dir, stores.databaseURL); err != nil {
			return demo.Data{}, err
		}
	}
	if err := database.Prepare(ctx, db, kept.Passwords(), 0); err != nil {
		return demo.Data{}, err
	}
	return demo.Ensure(ctx, db, dir)
}

// locate fills in the addresses and folders of the running stack.
func locate(d *demo.Data, base int, stores *stackStores, dir folder.Folder, kept secrets.Services) {
	d.AuthURL, d.PinAdminURL, d.PinInternalURL = localURL(base+1), localURL(base+2), localURL(base+3)
	d.AuthOpsURL, d.PinAdminOpsURL, d.PinInternalOpsURL = localURL(base+1+opsOffset), localURL(base+2+opsOffset), localURL(base+3+opsOffset)
	d.DatabaseURL, d.RedisURL = stores.databaseURL, stores.redisURL
	d.MailDir, d.KYCSumsubSecret = dir.Path(mailFolder), kept.KYCSumsub
}

func printTour(out io.Writer, d demo.Data, dir folder.Folder) error {
	text, err := demo.Tour(d, demo.Commands{Curl: "curl", Approve: quoted(dir.Path("bin/countersign")) + " approve"}, fmt.Sprintf(`Documentation of the APIs: %s/docs, %s/docs and %s/docs.
Every key, password and address of the demo: %s
To put the gate in front of an MCP server, with this stack: docs/gate.md
Ctrl-C stops everything; the data stays.`, d.AuthURL, d.PinAdminURL, d.PinInternalURL, dir.Path(demo.File)))
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, text)
	return err
}

// quoted returns text as one word of sh.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// watch returns nil when ctx ends, and an error when a service ends. When a store ends, it only writes a line to log, because the
// services still answer some requests.
func watch(ctx context.Context, services []process, stores *stackStores, out, log io.Writer) error {
	died, ended := make(chan error, len(services)), make(chan string, len(stores.servers))
	for i := range services {
		go func() {
			<-services[i].child.Done()
			died <- services[i].died()
		}()
	}
	for name, server := range stores.servers {
		go func() {
			<-server.Done()
			ended <- name
		}()
	}
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out, "\nStopping.")
			return nil
		case err := <-died:
			return err
		case name := <-ended:
			fmt.Fprintf(log, "%s has ended; to start it again, stop this stack with Ctrl-C and start it again\n", name)
		}
	}
}
