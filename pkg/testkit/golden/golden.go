// Package golden compares a text with a file in the repository. `go test PACKAGE -update` rewrites the files of a package.
package golden

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files with the texts that the tests produce")

// Compare fails the test if the content of the file differs from got. With -update it writes got to the file instead.
func Compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs. If the change is intended, run this test again with -update.\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}
