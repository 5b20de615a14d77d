package localstores

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
)

// Programs installs, as Install does, the packages of the programs that are not on the PATH. packages maps a program to
// its package, which has the same name in every package manager.
func Programs(ctx context.Context, out io.Writer, packages map[string]string) error {
	var missing []string
	for _, program := range slices.Sorted(maps.Keys(packages)) {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, packages[program])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	m, found := thisMachines()
	if !found {
		return fmt.Errorf("install %v, so that their programs are on the PATH", missing)
	}
	return m.run(ctx, out, missing)
}
