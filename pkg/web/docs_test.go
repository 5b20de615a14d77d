package web

import "testing"

func TestDocsRenderCodeSpans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"no code":               "no code",
		"send `pin` or `skill`": "send <code>pin</code> or <code>skill</code>",
		"`<script>` & <b>":      "<code>&lt;script&gt;</code> &amp; &lt;b&gt;",
		"a single ` stays":      "a single ` stays",
	} {
		if got := string(codeSpans(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
