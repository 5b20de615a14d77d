package mail

import (
	"context"
	"fmt"
	"log/slog"
	"net/mail"
	"os"
	"path/filepath"
)

// folder is where mails are written as .eml files, each whole or not at all, for people who have no mail server.
type folder struct {
	path string
	from mail.Address
	log  *slog.Logger
}

func (f folder) deliver(_ context.Context, l letter) error {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return fmt.Errorf("making the folder of mails: %w", err)
	}
	unfinished, err := os.CreateTemp(f.path, ".unfinished-*") // 0600
	if err != nil {
		return fmt.Errorf("writing a mail: %w", err)
	}
	defer os.Remove(unfinished.Name()) // in vain when it has its name
	if _, err := unfinished.Write(l.eml(f.from)); err != nil {
		unfinished.Close()
		return fmt.Errorf("writing a mail: %w", err)
	}
	if err := unfinished.Close(); err != nil {
		return fmt.Errorf("writing a mail: %w", err)
	}
	name := fmt.Sprintf("%s-%s-%s.eml", l.created.UTC().Format("20060102T150405Z"), l.kind, l.id)
	if err := os.Rename(unfinished.Name(), filepath.Join(f.path, name)); err != nil {
		return fmt.Errorf("naming a mail: %w", err)
	}
	f.log.Info("a mail came", "file", name)
	return nil
}
