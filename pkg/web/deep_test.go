package web

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// A body with as many levels as encoding/json decodes must not take much more memory than a flat one. It does not run in parallel,
// because it measures what the process allocates.
func TestDeepBodyTakesLittleMemory(t *testing.T) {
	spec, err := LoadSpec([]byte(exactDocument), func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	spec.operations["POST /x"].Extensions = map[string]any{"x-body-limit": float64(1 << 20)}
	const levels = 9990
	for name, body := range map[string]string{
		"arrays":           strings.Repeat(`[`, levels) + `"\u0000"` + strings.Repeat(`]`, levels),
		"objects":          strings.Repeat(`{"a":`, levels) + `"\u0000"` + strings.Repeat(`}`, levels),
		"a wide innermost": strings.Repeat(`[`, levels) + strings.Repeat(`"\u0000",`, 10000) + `1` + strings.Repeat(`]`, levels),
	} {
		body = `{"exact":{"a":` + body + `}}`
		request := httptest.NewRequest("POST", "/x", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		c := echo.New().NewContext(request, httptest.NewRecorder())
		c.SetPath("/x")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := spec.Validate(func(echo.Context) error { return nil })(c)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "value_error") {
			t.Errorf("%s: %.100v", name, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 50 {
			t.Errorf("%s: allocated %d MB", name, took)
		}
	}
}
