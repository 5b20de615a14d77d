package proxy

import (
	"net/http"
	"time"

	"github.com/countersign/countersign/pkg/client/hold"
)

// sessionTime is how long a session id of the gate can be used. The server usually ends a session earlier.
const sessionTime = 30 * 24 * time.Hour

// session is sealed into the id that the client gets. So the session belongs to one subject, and every replica of the gate knows it,
// also after a restart.
type session struct {
	// ID is the server's id of the session.
	ID      string `json:"i"`
	Subject string `json:"s"`
	// URLElicitation is what the client said in initialize.
	URLElicitation bool `json:"e,omitempty"`
}

// sessionPurpose is what the ids are sealed for. Another gate with the same proxy key can stand in front of another server, or can accept
// the tokens of another issuer, in which a subject is another person.
func sessionPurpose(s Settings) string {
	purpose := "mcp session " + s.Upstream.String()
	if s.Tokens != nil {
		purpose += " " + s.Tokens.Issuer()
	}
	return purpose
}

// open returns the session that a client names. A session of another subject is treated like an unknown one.
func (p *proxy) open(x exchange, sealed string) (session, error) {
	var s session
	if err := p.Sealer.Open(p.purpose, sealed, &s); err != nil {
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
		sealed, err = p.Sealer.Seal(p.purpose, session{id, pass.subject, pass.elicitation}, time.Now().Add(sessionTime))
		if err != nil {
			return err
		}
	}
	header.Set(sessionHeader, sealed)
	return nil
}
