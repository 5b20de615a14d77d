package message_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// refusal returns how Parse and Call refuse a message, or nil.
func refusal(t *testing.T, raw string) *message.Refusal {
	t.Helper()
	m, err := message.Parse([]byte(raw))
	if err == nil && m.Method == message.ToolsCall {
		_, err = m.Call()
	}
	var r *message.Refusal
	if err != nil && !errors.As(err, &r) {
		t.Fatalf("%q: %v is not a Refusal", raw, err)
	}
	return r
}

func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	const request, parse, params = message.CodeInvalidRequest, message.CodeParse, message.CodeInvalidParams
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":` + params + `}`
	}
	for name, test := range map[string]struct {
		raw  string
		code int
		id   string
	}{
		"empty":                       {"", parse, ""},
		"only a space":                {" ", parse, ""},
		"half a message":              {`{"jsonrpc":"2.0","id":7,"meth`, parse, ""},
		"invalid UTF-8":               {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\xff\"}", parse, ""},
		"overlong UTF-8":              {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\xc0\xaf\"}", parse, ""},
		"surrogate in UTF-8":          {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\xed\xa0\x80\"}", parse, ""},
		"UTF-16":                      {"{\x00}\x00", parse, ""},
		"NUL after the message":       {`{"jsonrpc":"2.0","id":7,"method":"ping"}` + "\x00", parse, ""},
		"NUL in a text":               {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\x00\"}", parse, ""},
		"control character in a text": {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\x1b\"}", parse, ""},
		"line feed in a text":         {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\nb\"}", parse, ""},
		"byte order mark":             {"\ufeff" + `{"jsonrpc":"2.0","id":7,"method":"ping"}`, parse, ""},
		"carriage return between":     {"{\"x\":\r{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}\r}", parse, ""},
		"carriage return at the end":  {`{"jsonrpc":"2.0","id":7,"method":"ping"}` + "\r", parse, ""},
		"two messages":                {`{"jsonrpc":"2.0","id":7,"method":"ping"}{"jsonrpc":"2.0","id":8,"method":"ping"}`, parse, ""},
		"a comment":                   {`{"jsonrpc":"2.0","id":7,"method":"ping"} // x`, parse, ""},
		"comma at the end":            {`{"jsonrpc":"2.0","id":7,"method":"ping",}`, parse, ""},
		"single quotes":               {`{'jsonrpc':'2.0','id':7,'method':'ping'}`, parse, ""},
		"NaN":                         {`{"jsonrpc":"2.0","id":NaN,"method":"ping"}`, parse, ""},
		"batch":                       {`[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}}]`, request, ""},
		"empty batch":                 {`[]`, request, ""},
		"text":                        {`"tools/call"`, request, ""},
		"number":                      {`1`, request, ""},
		"null":                        {`null`, request, ""},
		"empty object":                {`{}`, request, ""},

		"method twice":                   {`{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/call"}`, request, ""},
		"method twice, one escaped":      {`{"jsonrpc":"2.0","id":7,"method":"ping","m\u0065thod":"tools/call"}`, request, ""},
		"id twice":                       {`{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}`, request, ""},
		"another name twice":             {`{"jsonrpc":"2.0","id":7,"method":"ping","x":1,"x":1}`, request, ""},
		"Method":                         {`{"jsonrpc":"2.0","id":7,"method":"ping","Method":"tools/call"}`, request, ""},
		"only Method":                    {`{"jsonrpc":"2.0","id":7,"Method":"tools/call"}`, request, ""},
		"Method with an escape":          {`{"jsonrpc":"2.0","id":7,"method":"ping","\u004dethod":"tools/call"}`, request, ""},
		"long s in params":               {`{"jsonrpc":"2.0","id":7,"method":"ping","param` + "\u017f" + `":{}}`, request, ""},
		"snake case":                     {`{"jsonrpc":"2.0","json_rpc":"2.0","id":7,"method":"ping"}`, request, ""},
		"__proto__":                      {`{"jsonrpc":"2.0","id":7,"method":"ping","__proto__":{"method":"tools/call"}}`, request, ""},
		"name with a lone surrogate":     {`{"jsonrpc":"2.0","id":7,"method":"ping","\ud800":1}`, request, ""},
		"name with U+0000":               {`{"jsonrpc":"2.0","id":7,"method":"ping","method\u0000":"tools/call"}`, request, ""},
		"too many members":               {`{"jsonrpc":"2.0","id":7,"method":"ping"` + many(100) + `}`, request, ""},
		"too many levels":                {`{"jsonrpc":"2.0","id":7,"method":"ping","params":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, request, ""},
		"no jsonrpc":                     {`{"id":7,"method":"ping"}`, request, "7"},
		"jsonrpc 1.0":                    {`{"jsonrpc":"1.0","id":7,"method":"ping"}`, request, "7"},
		"jsonrpc as a number":            {`{"jsonrpc":2.0,"id":7,"method":"ping"}`, request, "7"},
		"method null":                    {`{"jsonrpc":"2.0","id":7,"method":null}`, request, "7"},
		"method as a list":               {`{"jsonrpc":"2.0","id":7,"method":["tools/call"]}`, request, "7"},
		"empty method":                   {`{"jsonrpc":"2.0","id":7,"method":""}`, request, "7"},
		"lone surrogate in the method":   {`{"jsonrpc":"2.0","id":7,"method":"tools/call\ud800"}`, request, "7"},
		"low surrogate first":            {`{"jsonrpc":"2.0","id":7,"method":"a\udc00\ud800"}`, request, "7"},
		"high surrogate, then an escape": {`{"jsonrpc":"2.0","id":7,"method":"a\ud800\u0041"}`, request, "7"},
		"U+0000 in the method":           {`{"jsonrpc":"2.0","id":7,"method":"tools/call\u0000x"}`, request, "7"},
		"method in capitals":             {`{"jsonrpc":"2.0","id":7,"method":"Tools/Call"}`, request, "7"},
		"method with a long s":           {`{"jsonrpc":"2.0","id":7,"method":"tool` + "\u017f" + `/call"}`, request, "7"},
		"method with a space":            {`{"jsonrpc":"2.0","id":7,"method":" tools/call"}`, request, "7"},
		"method and result":              {`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"},"result":{}}`, request, "7"},
		"method and error":               {`{"jsonrpc":"2.0","id":7,"method":"ping","error":null}`, request, "7"},
		"result and error":               {`{"jsonrpc":"2.0","id":7,"result":{},"error":{}}`, request, "7"},
		"result without an id":           {`{"jsonrpc":"2.0","result":{}}`, request, ""},
		"result and params":              {`{"jsonrpc":"2.0","id":7,"result":{},"params":{}}`, request, "7"},
		"neither method nor result":      {`{"jsonrpc":"2.0","id":7,"params":{"name":"x"}}`, request, "7"},

		"call without an id":          {`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}`, request, ""},
		"escaped call without an id":  {`{"jsonrpc":"2.0","method":"tools\/call","params":{"name":"x"}}`, request, ""},
		"call, id null":               {`{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"x"}}`, request, ""},
		"call, id true":               {`{"jsonrpc":"2.0","id":true,"method":"tools/call","params":{"name":"x"}}`, request, ""},
		"call, id a list":             {`{"jsonrpc":"2.0","id":[7],"method":"tools/call","params":{"name":"x"}}`, request, ""},
		"call, id an object":          {`{"jsonrpc":"2.0","id":{"a":7},"method":"tools/call","params":{"name":"x"}}`, request, ""},
		"call, id a fraction":         {`{"jsonrpc":"2.0","id":7.0,"method":"tools/call","params":{"name":"x"}}`, request, ""},
		"call, id with an exponent":   {`{"jsonrpc":"2.0","id":7e0,"method":"tools/call","params":{"name":"x"}}`, request, ""},
		"no params":                   {`{"jsonrpc":"2.0","id":7,"method":"tools/call"}`, params, "7"},
		"params as a list":            {call(`["x",{}]`), params, "7"},
		"params null":                 {call(`null`), params, "7"},
		"no name":                     {call(`{"arguments":{}}`), params, "7"},
		"empty name":                  {call(`{"name":""}`), params, "7"},
		"white space before the name": {call(`{"name":" x"}`), params, "7"},
		"line feed after the name":    {call(`{"name":"x\n"}`), params, "7"},
		"name null":                   {call(`{"name":null}`), params, "7"},
		"name as an object":           {call(`{"name":{"x":"x"}}`), params, "7"},
		"lone surrogate in the tool":  {call(`{"name":"x\udfff"}`), params, "7"},
		"U+0000 in the tool":          {call(`{"name":"get-sum\u0000"}`), params, "7"},
		"name and Name":               {call(`{"name":"get-sum","Name":"get-env"}`), params, "7"},
		"name twice":                  {call(`{"name":"get-sum","name":"get-env"}`), params, "7"},
		"name twice, one escaped":     {call(`{"name":"get-sum","n\u0061me":"get-env"}`), params, "7"},
		"arguments and Arguments":     {call(`{"name":"x","arguments":{},"ARGUMENTS":{}}`), params, "7"},
		"arguments with a long s":     {call(`{"name":"x","argument` + "\u017f" + `":{}}`), params, "7"},
		"task with a Kelvin sign":     {call(`{"name":"x","tas` + "\u212a" + `":{}}`), params, "7"},
		"meta":                        {call(`{"name":"x","meta":{}}`), params, "7"},
		"request_state":               {call(`{"name":"x","request_state":"a"}`), params, "7"},
		"__proto__ in params":         {call(`{"name":"x","__proto__":{"name":"y"}}`), params, "7"},
		"too many params":             {call(`{"name":"x"` + many(100) + `}`), params, "7"},
		"arguments as a list":         {call(`{"name":"x","arguments":[]}`), params, "7"},
		"arguments as a text":         {call(`{"name":"x","arguments":"{}"}`), params, "7"},
		"_meta as a list":             {call(`{"name":"x","_meta":[]}`), params, "7"},
		"a name in _meta twice":       {call(`{"name":"x","_meta":{"countersign/receipt":"a","countersign/receipt":"b"}}`), params, "7"},
		"another case in _meta":       {call(`{"name":"x","_meta":{"Countersign/Receipt":"a"}}`), params, "7"},
		"progress_token":              {call(`{"name":"x","_meta":{"progress_token":"a"}}`), params, "7"},
		"requestState as a number":    {call(`{"name":"x","requestState":1}`), params, "7"},
		"inputResponses as a list":    {call(`{"name":"x","inputResponses":[]}`), params, "7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := refusal(t, test.raw)
			if r == nil {
				t.Fatal("the message is accepted")
			}
			if r.Code != test.code || string(r.ID) != test.id {
				t.Errorf("code %d id %q (%s), expected %d and %q", r.Code, r.ID, r.Reason, test.code, test.id)
			}
			if !json.Valid(r.Answer()) {
				t.Errorf("the answer %s is not JSON", r.Answer())
			}
		})
	}
}

// many returns members with different names.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"` + strings.Repeat("x", i+1) + `":0`)
	}
	return b.String()
}

func TestNameThatALaxServerTakesForAKnownOneIsRefused(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"%s ", " %s", "%s\\t", "_%s", "%s-", "%s.", "$%s", "@%s", "%s\u200b", "\ufeff%s", "\\u00ad%s", "%s[]"} {
		method, name := strings.Replace(form, "%s", "Method", 1), strings.Replace(form, "%s", "Name", 1)
		if r := refusal(t, `{"jsonrpc":"2.0","id":7,"method":"ping","`+method+`":"tools/call","params":{"name":"get-env"}}`); r == nil || r.Code != message.CodeInvalidRequest {
			t.Errorf("%q: %v", method, r)
		}
		if r := refusal(t, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get-sum","`+name+`":"get-env"}}`); r == nil || r.Code != message.CodeInvalidParams {
			t.Errorf("%q: %v", name, r)
		}
	}
	for _, name := range []string{"methods", "method2", "xmethod", "x.method", "мethod"} {
		if r := refusal(t, `{"jsonrpc":"2.0","id":7,"method":"ping","`+name+`":"tools/call"}`); r != nil {
			t.Errorf("%q: %v", name, r)
		}
	}
}

// A reader with C strings ends a text at U+0000.
func TestTextThatEndsAtNULForSomeReadersIsRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`{"jsonrpc":"2.0","id":7,"method":"ping","method\u0000x":"tools/call","params":{"name":"get-env"}}`,
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get-sum","name\u0000x":"get-env"}}`,
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get-sum","_meta":{"countersign/receipt\u0000x":"forged"}}}`,
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get-sum","requestState":"a\u0000b"}}`,
	} {
		if r := refusal(t, raw); r == nil {
			t.Errorf("%s is accepted", raw)
		}
	}
}

func TestMethodThatALaxServerTakesForACallIsRefused(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Tools/Call", "toolſ/call", "tools/call ", "\\ttools/call", "tools/call/", "/tools/call", "//tools//call", "tools\\\\call", "tools.call", "tools:call", "tools_call", "tools-call",
		"toolsCall", "ToolsCall", "tools/ca\u200bll", "tools/call\ufeff", "ｔools/call", "tools／call", "tools∕call", "tооls/call", "tools/call\\u0000", "tools/call\\u0001", "tools/call\\ud800"} {
		if r := refusal(t, `{"jsonrpc":"2.0","id":7,"method":"`+method+`","params":{"name":"get-env"}}`); r == nil || r.Code != message.CodeInvalidRequest || string(r.ID) != "7" {
			t.Errorf("%q: %v", method, r)
		}
	}
	for _, method := range []string{"tools/call/x", "tools/list", "tasks/result", "skills/run", "com.example/tools/call", "notifications/tools/list_changed", "x/tools%2fcall"} {
		if r := refusal(t, `{"jsonrpc":"2.0","id":7,"method":"`+method+`","params":{"method":"tools/call","params":{"name":"get-env"}}}`); r != nil {
			t.Errorf("%q: %v", method, r)
		}
	}
}

func TestAcceptedMessages(t *testing.T) {
	t.Parallel()
	for raw, kind := range map[string]string{
		`{"jsonrpc":"2.0","id":7,"method":"ping"}`:                                    "request",
		` {"jsonrpc":"2.0","id":7,"method":"ping"} `:                                  "request",
		"{\n\t\"jsonrpc\": \"2.0\",\n\t\"id\": 7,\n\t\"method\": \"ping\"\n}\n":       "request",
		`{"json\u0072pc":"2.0","id":7,"method":"p\u0069ng"}`:                          "request",
		`{"jsonrpc":"2.0","id":null,"method":"ping"}`:                                 "request",
		`{"jsonrpc":"2.0","id":true,"method":"ping"}`:                                 "request",
		`{"jsonrpc":"2.0","id":[1],"method":"ping"}`:                                  "request",
		`{"jsonrpc":"2.0","id":{"Method":1,"method":1},"method":"ping"}`:              "request",
		`{"jsonrpc":"2.0","id":1.5e300,"method":"ping"}`:                              "request",
		`{"jsonrpc":"2.0","id":"","method":"ping"}`:                                   "request",
		`{"jsonrpc":"2.0","id":"\ud800","method":"ping"}`:                             "request",
		`{"jsonrpc":"2.0","id":7,"method":"ping","params":[{"a":1,"a":2}]}`:           "request",
		`{"jsonrpc":"2.0","id":7,"method":"ping","other":{"Method":"tools/call"}}`:    "request",
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`:                      "notification",
		`{"jsonrpc":"2.0","id":7,"result":{"method":"tools/call"}}`:                   "response",
		`{"jsonrpc":"2.0","id":"countersign-1","error":{"code":-32603,"message":""}}`: "response",
		`{"jsonrpc":"2.0","error":{"code":-32700,"message":""}}`:                      "response",
		`{"jsonrpc":"2.0","id":7,"result":null}`:                                      "response",
	} {
		m, err := message.Parse([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		got := map[bool]string{true: "request"}[m.IsRequest()] + map[bool]string{true: "notification"}[m.IsNotification()] + map[bool]string{true: "response"}[m.IsResponse()]
		if got != kind || string(m.Raw) != raw {
			t.Errorf("%s: read as a %s, raw %q", raw, got, m.Raw)
		}
	}
}

func TestLongNameIsRefused(t *testing.T) {
	t.Parallel()
	for length, refused := range map[int]bool{1000: false, 1001: true, 10_000: true} {
		name := strings.Repeat("x", length)
		for _, raw := range []string{`{"jsonrpc":"2.0","id":7,"method":"ping","` + name + `":0}`, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","_meta":{"` + name + `":0}}}`} {
			if r := refusal(t, raw); (r != nil) != refused {
				t.Errorf("%d bytes in %.70s: %v", length, raw, r)
			}
		}
	}
}

// It is not parallel, because TotalAlloc also counts what other tests allocate.
func TestDeepNestingIsRefusedWithLittleMemory(t *testing.T) {
	raw := []byte(`{"jsonrpc":"2.0","id":7,"method":"ping","params":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "}")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := message.Parse(raw)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Fatal("100,000 levels are accepted")
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("Parse allocated %d bytes", used)
	}
	deep := `{"jsonrpc":"2.0","id":7,"method":"ping","params":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `}`
	if _, err := message.Parse([]byte(deep)); err != nil {
		t.Errorf("1,000 levels: %v", err)
	}
}
