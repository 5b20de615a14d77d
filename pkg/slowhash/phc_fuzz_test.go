package slowhash

import "testing"

// FuzzPHC checks that a parsed hash has parameters within the limits and prints as it was read.
func FuzzPHC(f *testing.F) {
	const salt, sum = "c29tZXNhbHRzb21lc2FsdA", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, text := range []string{
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=19456,t=2,p=1,keyid=one$" + salt + "$" + sum,
		"$argon2id$v=19$m=1048577,t=2,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=8,t=17,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=+8,t=1,p=255$" + salt + "$" + sum, "$argon2id$v=19$m=8,t=1,p=1,keyid=$" + salt + "$" + sum,
		"$argon2id$v=19$m=8,t=1,p=1,keyid=a,keyid=b$" + salt + "$" + sum, "$argon2i$v=19$m=8,t=1,p=1$" + salt + "$" + sum, "$$$$$", "",
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt[:21] + "B$" + sum, "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "\n$" + sum,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(text)
		if err != nil {
			if _, err := KeyID(text); err == nil || !Outdated(text, "") {
				t.Errorf("%q is malformed, but KeyID or Outdated accepts it", text)
			}
			return
		}
		p := h.params
		if p.MemoryKiB < 8 || p.MemoryKiB > maxMemoryKiB || p.Passes < 1 || p.Passes > maxPasses || p.Threads < 1 || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 {
			t.Errorf("%q: parameters %+v", text, p)
		}
		if h.String() != text {
			t.Errorf("%q prints as %q", text, h)
		}
	})
}
