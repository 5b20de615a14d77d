package mail

import (
	"context"
	"fmt"
	"log/slog"
	"net/mail"
	"os"
	"path/filepath"
)

// folder writes mails as .eml files. It creates each file in one step, so that no reader finds a part of a mail.
type folder struct {
	path string
	from mail.Address
	log  *slog.Logger
}

func (f folder) deliver(_ context.Context, l letter) error {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return fmt.Errorf("creating the folder of mails: %w", err)
	}
	unfinished, err := os.CreateTemp(f.path, ".unfinished-*") // 0600
	if err != nil {
		return fmt.Errorf("writing a mail: %w", err)
	}
	defer os.Remove(unfinished.Name()) // does nothing after the rename
	if _, err := unfinished.Write(l.eml(f.from)); err != nil {
		unfinished.Close()
		return fmt.Errorf("writing a mail: %w", err)
	}
	if err := unfinished.Close(); err != nil {
		return fmt.Errorf("writing a mail: %w", err)
	}
	name := fmt.Sprintf("%s-%s-%s.eml", l.created.UTC().Format("20060102T150405Z"), l.kind, l.id)
	if err := os.Rename(unfinished.Name(), filepath.Join(f.path, name)); err != nil {
		return fmt.Errorf("renaming a mail: %w", err)
	}
	f.log.Info("mail written", "file", name)
	return nil
}
