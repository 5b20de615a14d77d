package token

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestACredentialReadsAsItWasMade(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{ProxyKey, APIKey, Refresh, Session} {
		made := New(kind, 1, 2, 3)
		read, err := Parse(kind, made.Reveal(), 3)
		if err != nil || !bytes.Equal(read.Hash(), made.Hash()) || !bytes.Equal(read.Head(), []byte{1, 2, 3}) {
			t.Errorf("%s: %v", kind, err)
		}
		if !strings.HasPrefix(made.Reveal(), string(kind)+"_") || !strings.HasPrefix(made.Reveal(), made.Prefix()) || len(made.Prefix()) > 11 {
			t.Errorf("%s begins otherwise", kind)
		}
		if bytes.Equal(made.Hash(), New(kind, 1, 2, 3).Hash()) {
			t.Errorf("%s: two are alike", kind)
		}
	}
}

func TestEveryTypoIsNoticed(t *testing.T) {
	t.Parallel()
	good := New(APIKey).Reveal()
	for i := range good {
		for _, wrong := range []byte("0zA") {
			if typo := good[:i] + string(wrong) + good[i+1:]; typo != good {
				if _, err := Parse(APIKey, typo, 0); !errors.Is(err, ErrMalformed) {
					t.Errorf("a typo at %d is not noticed", i)
				}
			}
		}
	}
	for name, text := range map[string]string{
		"empty": "", "the prefix alone": "csa_", "of another kind": New(ProxyKey).Reveal(), "renamed": "csp_" + good[4:], "with more": good + "0",
		"with a line end": good + "\n", "cut": good[:len(good)-1], "in upper case": strings.ToUpper(good), "huge": "csa_" + strings.Repeat("0", 1<<20),
		"with a head": New(APIKey, 1).Reveal(),
	} {
		if _, err := Parse(APIKey, text, 0); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
