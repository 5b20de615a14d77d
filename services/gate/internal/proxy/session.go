package proxy

import (
	"net/http"
	"time"

	"github.com/countersign/countersign/pkg/client/hold"
)

const (
	sessionPurpose = "mcp session"
	// sessionTime is how long a session id of the gate can be used. The server usually ends a session earlier.
	sessionTime = 30 * 24 * time.Hour
)

// session is sealed into the id that the client gets. So the session belongs to one subject, and every replica of the gate knows it,
// also after a restart.
type session struct {
	// ID is the server's id of the session.
	ID      string `json:"i"`
	Subject string `json:"s"`
	// URLElicitation is what the client said in initialize.
	URLElicitation bool `json:"e,omitempty"`
}

// open returns the session that a client names. A session of another subject is treated like an unknown one.
func (p *proxy) open(x exchange, sealed string) (session, error) {
	var s session
	if err := p.Sealer.Open(sessionPurpose, sealed, &s); err != nil {
		return session{}, err
	}
	if s.Subject != x.subject || s.ID == "" {
		return session{}, hold.ErrNotSealed
	}
	return s, nil
}

// sealSession replaces the server's session id in a response.
func (p *proxy) sealSession(header http.Header, pass passage) error {
	id := header.Get(sessionHeader)
	if id == "" {
		return nil
	}
	sealed := pass.sealed // some clients do not accept another id for the same session
	if id != pass.session.ID {
		var err error
		sealed, err = p.Sealer.Seal(sessionPurpose, session{id, pass.subject, pass.elicitation}, time.Now().Add(sessionTime))
		if err != nil {
			return err
		}
	}
	header.Set(sessionHeader, sealed)
	return nil
}
