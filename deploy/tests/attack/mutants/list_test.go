package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant replaces a text of the source. If the source changes, the mutant must change too.
func TestMutantTextsOccurOnce(t *testing.T) {
	t.Parallel()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		files := map[string]string{}
		for _, e := range m.edits {
			source, read := files[e.file]
			if !read {
				content, err := os.ReadFile(filepath.Join(root, e.file))
				if err != nil {
					t.Fatal(err)
				}
				source = string(content)
			}
			if n := strings.Count(source, e.old); n != 1 {
				t.Errorf("%s: %s contains this text %d times, want 1:\n%s", m.name, e.file, n, e.old)
			}
			files[e.file] = strings.Replace(source, e.old, e.new, 1)
		}
		for file, source := range files {
			if filepath.Ext(file) != ".go" {
				continue
			}
			if _, err := parser.ParseFile(token.NewFileSet(), file, source, 0); err != nil {
				t.Errorf("%s: the mutant is not valid Go: %v", m.name, err)
			}
		}
	}
}

func TestWrongSQL(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		`charging an attempt: pq: could not determine data type of parameter $6 (42P08)`: "42P08",
		`pq: permission denied for table pins (42501), then pq: syntax error (42601)`:    "42601",
		`pq: permission denied for table pins (42501)`:                                   "",
		`pq: canceling statement due to lock timeout (55P03)`:                            "",
		`verify_test.go:42: 5 comparisons, want 4 (42 s)`:                                "",
	} {
		if got := wrongSQL(output); got != want {
			t.Errorf("wrongSQL(%q) = %q, want %q", output, got, want)
		}
	}
}
