package localstores

import (
	"context"
	"errors"
	"io"
	"os/exec"
)

var browsers = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
}

// Browser returns the program of a Chromium, for tests that look at pages. When the machine has none, it is installed as
// Install installs servers, or the error is the one line to type.
func Browser(ctx context.Context, out io.Writer) (path string, err error) {
	if path = findBrowser(); path != "" {
		return path, nil
	}
	m, found := thisMachines()
	if !found {
		return "", errors.New("install Chromium, so that it is on the PATH")
	}
	if err := m.run(ctx, out, []string{m.browser}); err != nil {
		return "", err
	}
	if path = findBrowser(); path == "" {
		return "", errors.New("the package that was installed has no Chromium on the PATH: install one by hand")
	}
	return path, nil
}

func findBrowser() string {
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
