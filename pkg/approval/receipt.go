package approval

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/countersign/countersign/pkg/client/receipt"
	"github.com/countersign/countersign/pkg/fault"
)

const (
	// ReceiptKeyLifetime is the age at which the key that signs receipts is replaced.
	ReceiptKeyLifetime = 90 * 24 * time.Hour
	// ReceiptKeyPublished is how long a retired key stays published: longer than a receipt is valid, because the clock of a tool
	// server may be late. It is short, because whoever gets hold of a retired key can forge receipts as long as it is published.
	ReceiptKeyPublished = 15 * time.Minute
	// receiptLifetime is how long a receipt is valid after the use.
	receiptLifetime = 120 * time.Second
)

// ErrReceiptGone says that the key of a receipt was revoked, or was deleted long after the use.
var ErrReceiptGone = fault.New(fault.Conflict, "receipt_gone", "The key that signed the receipt exists no more, so the receipt cannot be repeated")

// receipt signs the receipt of a use. Everything in it is in the row, so a repeated use gets the same text. It returns
// ErrReceiptGone if the key was deleted.
func (u *Uses) receipt(used use) (string, error) {
	if used.PrivateSealed == nil {
		return "", ErrReceiptGone
	}
	key, err := u.keys.Open(used.ReceiptKeyID.UUID, used.PrivateSealed)
	if err != nil {
		return "", err
	}
	claims := receipt.Claims{
		Issuer: u.issuer, Subject: used.CustomerID.String(), ID: used.ID.String(),
		IssuedAt: used.UsedAt.Unix(), ExpiresAt: used.UsedAt.Add(receiptLifetime).Unix(),
		Approved: receipt.Approved{
			Instance: used.InstanceID.String(), Skill: used.Skill, ActionHash: used.Hash(), Template: used.templateHash(),
			ApprovedAt: used.DecidedAt.Unix(), Methods: []string{"pin"},
		},
	}
	if used.Audience != nil {
		claims.Audience = *used.Audience
	}
	return u.keys.SignWith(key, claims)
}

// templateHash identifies the title and the summary template that the page showed: the SHA-256 of the title, a zero byte and the
// template, in base64url without padding. A missing one counts as empty. It returns nil if both are missing.
func (r Row) templateHash() *string {
	if r.Title == nil && r.Template == nil {
		return nil
	}
	h := sha256.New()
	for i, text := range []*string{r.Title, r.Template} {
		if i > 0 {
			h.Write([]byte{0}) // no text in Postgres contains it
		}
		if text != nil {
			h.Write([]byte(*text))
		}
	}
	sum := base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	return &sum
}
