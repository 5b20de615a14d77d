package mcpguard

import "time"

// SetProgressPause sets the pause between progress notifications.
func (g *Guard) SetProgressPause(d time.Duration) { g.pace = d }
