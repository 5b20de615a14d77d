package approval

import "time"

const (
	// ReceiptKeyLifetime is the age at which the key that signs receipts is replaced.
	ReceiptKeyLifetime = 90 * 24 * time.Hour
	// ReceiptKeyPublished is how long a retired key stays published: longer than a receipt is valid, because the clock of a tool
	// server may be late. It is short, because whoever gets hold of a retired key can forge receipts as long as it is published.
	ReceiptKeyPublished = 15 * time.Minute
)
