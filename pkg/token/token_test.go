package token

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestParseReturnsTheCreatedToken(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{ProxyKey, APIKey, Refresh, Session} {
		made := New(kind, 1, 2, 3)
		read, err := Parse(kind, made.Reveal(), 3)
		if err != nil || !bytes.Equal(read.Hash(), made.Hash()) || !bytes.Equal(read.Head(), []byte{1, 2, 3}) {
			t.Errorf("%s: %v", kind, err)
		}
		if !strings.HasPrefix(made.Reveal(), string(kind)+"_") || !strings.HasPrefix(made.Reveal(), made.Prefix()) || len(made.Prefix()) > 11 {
			t.Errorf("%s: wrong prefix", kind)
		}
		if bytes.Equal(made.Hash(), New(kind, 1, 2, 3).Hash()) {
			t.Errorf("%s: two credentials are equal", kind)
		}
	}
}

func TestMistypedCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	valid := New(APIKey).Reveal()
	for i := range valid {
		for _, wrong := range []byte("0zA") {
			if typo := valid[:i] + string(wrong) + valid[i+1:]; typo != valid {
				if _, err := Parse(APIKey, typo, 0); !errors.Is(err, ErrMalformed) {
					t.Errorf("a wrong character at %d is accepted", i)
				}
			}
		}
	}
	for name, text := range map[string]string{
		"empty": "", "only the prefix": "csa_", "of another kind": New(ProxyKey).Reveal(), "with another prefix": "csp_" + valid[4:], "with another character": valid + "0",
		"with a line end": valid + "\n", "cut": valid[:len(valid)-1], "in upper case": strings.ToUpper(valid), "huge": "csa_" + strings.Repeat("0", 1<<20),
		"with a head": New(APIKey, 1).Reveal(),
	} {
		if _, err := Parse(APIKey, text, 0); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}
