package mail_test

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

func TestFolderHasOnePrivateASCIIFileForEachMail(t *testing.T) {
	d := newDeployment(t)
	box := mailtest.NewBox(t, d.people, publicURL, d.db, d.outbox, slog.New(slog.NewJSONHandler(d.log, nil)))
	address := newAddress()
	d.mailTo(address)
	letter := box.Last(address, 1)
	d.wantLink(letter)
	for _, want := range []string{"From: \"Countersign\" <no-reply@example.test>\r\n", "\r\nContent-Transfer-Encoding: 7bit\r\n", "\r\nAuto-Submitted: auto-generated\r\n",
		"\r\n" + publicURL + "/verify-email#token=" + letter.Token + "\r\n"} {
		if !strings.Contains(letter.Raw, want) {
			t.Errorf("no %q in\n%s", want, letter.Raw)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(letter.Raw, "\r\n"), "\r\n") {
		if len(line) > 200 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", line)
		}
	}
	files, err := os.ReadDir(box.Folder)
	if err != nil {
		t.Fatal(err)
	}
	info, err := files[0].Info()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || info.Mode().Perm() != 0o600 || strings.Contains(files[0].Name(), address) {
		t.Errorf("%v", files)
	}
	if log := d.log.String(); !strings.Contains(log, files[0].Name()) || strings.Contains(log, address) {
		t.Errorf("the log contains the address, or not the file:\n%s", log)
	}
}
