package hold

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
)

// question is what the person is asked about a call.
type question struct {
	// grants is client.GrantsAction or client.GrantsSession.
	grants string
	// arguments are canonical. Arguments are not sent for a session.
	arguments json.RawMessage
	// key identifies the question in the memory.
	key string
}

// ask returns the question about a call: about exactly this call, or about a session.
func ask(call Call, exact bool) (question, error) {
	q := question{grants: client.GrantsSession, arguments: json.RawMessage("{}")}
	if exact {
		canonical, err := action.Canonical(call.Arguments)
		if err != nil {
			return question{}, err
		}
		q = question{grants: client.GrantsAction, arguments: json.RawMessage(canonical)}
	}
	q.key = "approval:" + digest(q.grants, call.Person.Customer, call.Person.Identity, action.Lower(call.Skill), call.Audience, string(q.arguments))
	return q, nil
}

// digest is the SHA-256 of texts, with their lengths.
func digest(texts ...string) string {
	hash := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(hash, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
