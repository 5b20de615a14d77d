package budget

// Waiting returns the number of charges of a row that wait or run.
func (c *Charger) Waiting(row string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := c.queues[row]; q != nil {
		return q.length
	}
	return 0
}
