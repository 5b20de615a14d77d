package signing

import (
	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/client/receipt"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/seal"
)

// Kind is a kind of signing keys. A key signs only tokens of its kind: each kind has its own table, and its private keys are sealed
// under another subkey.
type Kind struct {
	// Table has the keys. It is also the name of the advisory lock under which a key is created, and the noun of the audit actions.
	// It becomes part of SQL.
	Table string
	// Values names the keys in messages, in the plural.
	Values string
	// Type is the header field typ of the tokens.
	Type    string
	Purpose keyring.Purpose
}

var (
	// AccessTokens are the keys of auth, which sign access tokens (RFC 9068). They are sealed under AUTH_KEYS.
	AccessTokens = Kind{Table: "signing_keys", Values: "signing keys", Type: accesstoken.Type, Purpose: keyring.SigningKeys}
	// Receipts are the keys of pin-internal, which sign receipts of approvals. They are sealed under PIN_KEYS.
	Receipts = Kind{Table: "receipt_keys", Values: "receipt keys", Type: receipt.Type, Purpose: keyring.ReceiptKeys}
)

// Sealed is the column of private keys.
func (k Kind) Sealed() seal.Column {
	return seal.Column{Values: k.Values, Table: k.Table, Column: "private_sealed", ID: "id", Purpose: k.Purpose}
}

// SQL of a key that may sign, and the order in which keys sign: first the newest key that has been published for the overlap, or
// the oldest key if there is no such key.
const (
	maySign    = `(retired_at is null or retired_at > now())`
	signsFirst = `greatest(created_at, now() - ` + overlap + `), created_at desc, id`
)

// Current is a query for the current key: its id and private_sealed, at most one row. ids is the SQL expression, a text[], of the
// ids of the keys on the ring: the query ignores a key that the ring does not open.
func (k Kind) Current(ids string) string {
	return `select id, private_sealed from ` + k.Table + `
	         where ` + maySign + ` and ` + k.Sealed().KeyID() + ` = any(` + ids + `)
	         order by ` + signsFirst + ` limit 1`
}
