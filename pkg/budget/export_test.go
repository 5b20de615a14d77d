package budget

// Waiting returns the number of charges of a row that wait or run.
func (g *Gate) Waiting(row string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if q := g.queues[row]; q != nil {
		return q.length
	}
	return 0
}
