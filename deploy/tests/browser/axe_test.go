package browser

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/pkg/testkit/localstores"
)

//go:embed package.json
var packageJSON []byte

//go:embed package-lock.json
var packageLock []byte

// axe is the source of axe-core, which finds barriers for people with disabilities.
var axe string

// installAxe installs axe-core with npm into a folder, in the version of package-lock.json.
func installAxe(folder string) error {
	if err := localstores.Programs(context.Background(), os.Stderr, map[string]string{"npm": "npm"}); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for name, content := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = folder
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("installing axe-core: %w\n%s", err, out)
	}
	source, err := os.ReadFile(filepath.Join(folder, "node_modules", "axe-core", "axe.min.js"))
	axe = string(source)
	return err
}

// checkAxe fails the test if axe-core finds a barrier on the page: a breach of WCAG, or of its best practices.
func (p *page) checkAxe(where string) {
	p.t.Helper()
	if !value[bool](p, `'axe' in globalThis`) {
		p.do(chromedp.Evaluate[chromedp.Void](axe))
	}
	p.do(chromedp.Evaluate[chromedp.Void](`void axe.run().then((result) => { globalThis.barriers = result.violations.flatMap((rule) =>
		rule.nodes.map((node) => rule.id + ': ' + node.html.slice(0, 150) + ' ' + (node.any.concat(node.all, node.none)[0]?.message ?? ''))); })`))
	p.until("the result of axe-core", `globalThis.barriers`)
	for _, barrier := range value[[]string](p, `globalThis.barriers`) {
		p.t.Errorf("%s: %s", where, barrier)
	}
	p.do(chromedp.Evaluate[chromedp.Void](`delete globalThis.barriers`))
}
