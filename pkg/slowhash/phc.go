package slowhash

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are the costs of one Argon2id hash.
type Params struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// Standing are the costs of new hashes: OWASP's Password Storage Cheat Sheet, its second recommended setting.
var Standing = Params{MemoryKiB: 19 * 1024, Passes: 2, Threads: 1}

// ErrPHC says that a stored hash cannot be read.
var ErrPHC = errors.New("the stored hash is not an Argon2id PHC string")

const (
	saltBytes = 16
	sumBytes  = 32
	// What a stored hash may cost us at most, in case somebody wrote one that is meant to.
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
	costs, key, hasKey := strings.Cut(parts[3], ",keyid=")
	if n, err := fmt.Sscanf(costs, "m=%d,t=%d,p=%d", &h.params.MemoryKiB, &h.params.Passes, &h.params.Threads); n != 3 || err != nil {
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
	// A second spelling of the same hash is not ours: whatever we wrote prints as it was read.
	if h.String() != text {
		return phc{}, ErrPHC
	}
	return h, nil
}

// KeyID returns the id of the pepper's key that a stored hash names; empty when it has none.
func KeyID(stored string) (string, error) {
	h, err := parsePHC(stored)
	return h.keyID, err
}

// Outdated reports whether a stored hash has other costs than Standing, or another key id than this one.
func Outdated(stored, keyID string) bool {
	h, err := parsePHC(stored)
	return err != nil || h.params != Standing || h.keyID != keyID
}
