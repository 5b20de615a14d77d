package slowhash

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are the cost parameters of Argon2id: memory, passes (t) and threads (p).
type Params struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// CurrentParams are the parameters of new hashes: the second setting that OWASP's Password Storage Cheat Sheet recommends.
var CurrentParams = Params{MemoryKiB: 19 * 1024, Passes: 2, Threads: 1}

// ErrPHC means that a stored hash is malformed or not Argon2id.
var ErrPHC = errors.New("the stored hash is not an Argon2id PHC string")

const (
	saltBytes = 16
	sumBytes  = 32
	// Limits for a stored hash, so that a manipulated row cannot make a comparison arbitrarily expensive.
	maxMemoryKiB = 1 << 20
	maxPasses    = 16
)

type phc struct {
	params    Params
	keyID     string
	salt, sum []byte
}

func (h phc) String() string {
	key := ""
	if h.keyID != "" {
		key = ",keyid=" + h.keyID
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d%s$%s$%s", argon2.Version, h.params.MemoryKiB, h.params.Passes,
		h.params.Threads, key, base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.sum))
}

func parsePHC(text string) (phc, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, ErrPHC
	}
	var h phc
	params, key, hasKey := strings.Cut(parts[3], ",keyid=")
	if n, err := fmt.Sscanf(params, "m=%d,t=%d,p=%d", &h.params.MemoryKiB, &h.params.Passes, &h.params.Threads); n != 3 || err != nil {
		return phc{}, ErrPHC
	}
	if hasKey {
		h.keyID = key
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	p := h.params
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 ||
		p.MemoryKiB < 8 || p.MemoryKiB > maxMemoryKiB || p.Passes < 1 || p.Passes > maxPasses || p.Threads < 1 {
		return phc{}, ErrPHC
	}
	// Hash writes only the canonical spelling. Every other spelling is refused.
	if h.String() != text {
		return phc{}, ErrPHC
	}
	return h, nil
}

// KeyID returns the id of the pepper's key from a stored hash, or "" when the hash has no key id. It returns ErrPHC.
func KeyID(stored string) (string, error) {
	h, err := parsePHC(stored)
	return h.keyID, err
}

// Outdated reports whether a stored hash is malformed, has other parameters than CurrentParams, or has another key id.
func Outdated(stored, keyID string) bool {
	h, err := parsePHC(stored)
	return err != nil || h.params != CurrentParams || h.keyID != keyID
}

// Alike reports whether two stored hashes have the same parameters, salt and key id. Then they are equal if their secrets are.
func Alike(a, b string) bool {
	return a[:strings.LastIndexByte(a, '$')+1] == b[:strings.LastIndexByte(b, '$')+1]
}
