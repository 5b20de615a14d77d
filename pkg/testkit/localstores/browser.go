package localstores

import (
	"context"
	"io"
	"os/exec"
)

var browsers = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
}

// Browser returns the path of a Chromium, for tests of pages. If the machine has no Chromium, Browser installs it as Install
// installs servers.
func Browser(ctx context.Context, out io.Writer) (path string, err error) {
	return installMissing(ctx, out, "chromium", func() string { return firstOnPath(browsers) })
}

// firstOnPath returns the path of the first of the programs that exists, or an empty string.
func firstOnPath(programs []string) string {
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
