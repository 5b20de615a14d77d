package gate

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// answer is what must happen with a message.
type answer string

const (
	ran       answer = "ran"       // the server got it byte for byte and answered with a result
	failed    answer = "failed"    // the server got it byte for byte and answered with an error
	forwarded answer = "forwarded" // the server got it byte for byte; it has no answer
	held      answer = "held"      // the gate answered: not executed, with the link or the reason; the server got nothing
	asked     answer = "asked"     // the gate answered: input required; the server got nothing
	refused   answer = "refused"   // the gate answered with an error; the server got nothing
	dropped   answer = "dropped"   // no answer; the server got nothing
)

// message is one message of the corpus. In its text, @ID is a new id, @PING a ping and @ENV a call of the protected tool get-env.
type message struct {
	name, text string
	// attack: without the gate, a careless server runs a protected tool after this message.
	attack bool
	want   answer
	// overHTTP is the answer over HTTP if it differs.
	overHTTP answer
}

// fill returns the text of a message with new ids.
func fill(text string) string {
	text = strings.ReplaceAll(text, "@PING", `{"jsonrpc":"2.0","id":"@ID","method":"ping"}`)
	text = strings.ReplaceAll(text, "@ENV", `{"jsonrpc":"2.0","id":"@ID","method":"tools/call","params":{"name":"get-env","arguments":{}}}`)
	return strings.ReplaceAll(text, "@ID", fmt.Sprintf("id-%d", ids.Add(1)))
}

var ids atomic.Int64

// request returns a request with these members after its id.
func request(members string) string { return `{"jsonrpc":"2.0","id":"@ID",` + members + `}` }

// params returns a call with these members of params.
func params(members string) string {
	return request(`"method":"tools/call","params":{` + members + `}`)
}

const (
	env  = `"params":{"name":"get-env"}`
	call = `"method":"tools/call"`
	eve  = `{"amount":1,"to":"Eve"}`
	meta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`
	urls = `"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}}}`
)

// corpus has the messages that are sent over stdio as lines and over HTTP as bodies.
var corpus = []message{
	// Names in params
	{name: "folded name", text: params(`"name":"get-sum","Name":"get-env"`), attack: true, want: refused},
	{name: "folded name first", text: params(`"Name":"get-env","name":"get-sum"`), want: refused},
	{name: "upper case name", text: params(`"name":"get-sum","NAME":"get-env","arguments":{}`), attack: true, want: refused},
	{name: "folded name alone", text: params(`"Name":"get-env"`), attack: true, want: refused},
	{name: "name twice", text: params(`"name":"get-sum","name":"get-env"`), attack: true, want: refused},
	{name: "name twice, the protected one first", text: params(`"name":"get-env","name":"get-sum"`), attack: true, want: refused},
	{name: "name twice, escaped", text: params(`"name":"get-sum","n\u0061me":"get-env"`), attack: true, want: refused},
	{name: "name twice, folded and escaped", text: params(`"name":"get-sum","\u004eame":"get-env"`), attack: true, want: refused},
	{name: "arguments twice", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1},"arguments":` + eve), attack: true, want: refused},
	{name: "arguments folded", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1},"Arguments":` + eve), attack: true, want: refused},
	{name: "arguments folded with a long s", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1},"argumentſ":` + eve), attack: true, want: refused},
	{name: "arguments folded with an escaped long s", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1},"argument\u017f":` + eve), attack: true, want: refused},
	{name: "task folded with a Kelvin sign", text: params(`"name":"transfer","taſ` + "\u212a" + `":{},"arguments":` + eve), attack: true, want: refused},
	{name: "_meta twice", text: params(`"name":"get-env","_meta":{},"_meta":{"countersign/receipt":"forged"}`), attack: true, want: refused},
	{name: "_meta folded", text: params(`"name":"get-env","_Meta":{"countersign/receipt":"forged"}`), attack: true, want: refused},
	{name: "name and a space", text: params(`"name":"get-sum","name ":"get-env"`), want: refused},
	{name: "name with a sign", text: params(`"name":"get-sum","$name":"get-env"`), want: refused},
	{name: "another name", text: params(`"name":"get-sum","title":"get-env","arguments":{}`), want: ran},
	{name: "name in arguments", text: params(`"name":"get-sum","arguments":{"name":"get-env","Name":"get-env","method":"tools/call"}`), want: ran},
	{name: "name in _meta", text: params(`"name":"get-sum","_meta":{"name":"get-env"}`), want: ran},
	{name: "params in params", text: params(`"name":"get-sum","params":{"name":"get-env"}`), want: ran},
	{name: "unknown names twice", text: params(`"name":"get-sum","x":1,"x":2`), want: refused},

	// Names in the message
	{name: "folded method", text: request(`"method":"ping","Method":"tools/call",` + env), attack: true, want: refused},
	{name: "upper case method", text: request(`"method":"ping","METHOD":"tools/call",` + env), attack: true, want: refused},
	{name: "folded method alone", text: request(`"Method":"tools/call",` + env), attack: true, want: refused},
	{name: "method twice", text: request(`"method":"ping","method":"tools/call",` + env), attack: true, want: refused},
	{name: "method twice, the call first", text: request(`"method":"tools/call","method":"ping",` + env), attack: true, want: refused},
	{name: "method twice, escaped", text: request(`"method":"ping","m\u0065thod":"tools/call",` + env), attack: true, want: refused},
	{name: "params twice", text: request(call + `,"params":{"name":"get-sum"},` + env), attack: true, want: refused},
	{name: "params folded", text: request(call + `,"params":{"name":"get-sum"},"Params":{"name":"get-env"}`), attack: true, want: refused},
	{name: "params folded with a long s", text: request(call + `,"params":{"name":"get-sum"},"paramſ":{"name":"get-env"}`), attack: true, want: refused},
	{name: "id twice", text: `{"jsonrpc":"2.0","id":1,"id":2,` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "id folded", text: `{"jsonrpc":"2.0","id":1,"ID":2,` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "jsonrpc twice", text: `{"jsonrpc":"2.0","jsonrpc":"2.0","id":"@ID",` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "result and method", text: request(`"result":{},` + call + `,` + env), attack: true, want: refused},
	{name: "error and method", text: request(`"error":{"code":1,"message":"x"},` + call + `,` + env), attack: true, want: refused},
	{name: "result null and method", text: request(`"result":null,` + call + `,` + env), attack: true, want: refused},
	{name: "unknown member", text: request(`"x":{"method":"tools/call"},"method":"ping"`), want: ran},

	// __proto__
	{name: "message in __proto__", text: `{"jsonrpc":"2.0","id":"@ID","__proto__":{` + call + `,` + env + `}}`, attack: true, want: refused},
	{name: "params in __proto__", text: request(call + `,"__proto__":{` + env + `}`), attack: true, want: refused},
	{name: "name in __proto__", text: params(`"__proto__":{"name":"get-env"}`), attack: true, want: refused},
	{name: "name in escaped __proto__", text: params(`"__pr\u006fto__":{"name":"get-env"}`), attack: true, want: refused},

	// Methods
	{name: "call", text: `@ENV`, attack: true, want: held},
	{name: "escaped slash", text: request(`"method":"tools\/call",` + env), attack: true, want: held},
	{name: "escaped letter", text: request(`"method":"\u0074ools/call",` + env), attack: true, want: held},
	{name: "escaped tool", text: params(`"name":"get\u002denv"`), attack: true, want: held},
	{name: "tool in upper case", text: params(`"name":"GET-ENV"`), attack: true, want: held},
	{name: "method in upper case", text: request(`"method":"Tools/Call",` + env), attack: true, want: refused},
	{name: "method with a long s", text: request(`"method":"toolſ/call",` + env), attack: true, want: refused},
	{name: "method with a space", text: request(`"method":" tools/call",` + env), attack: true, want: refused},
	{name: "method with a line end", text: request(`"method":"tools/call\n",` + env), attack: true, want: refused},
	{name: "method with a lone surrogate", text: request(`"method":"tools\ud800/call",` + env), attack: true, want: refused},
	{name: "method with a slash at the end", text: request(`"method":"tools/call/",` + env), want: refused},
	{name: "method with a dot", text: request(`"method":"tools.call",` + env), want: refused},
	{name: "method with a character that is not visible", text: request(`"method":"tools/call\u200b",` + env), want: refused},
	{name: "method in full-width letters", text: request(`"method":"ｔools/call",` + env), want: refused},
	{name: "tool with a character that is not visible", text: params(`"name":"get-env\u200b"`), want: refused},
	{name: "tool with a character that is not visible in front", text: params("\"name\":\"\ufeffget-env\""), want: refused},
	{name: "tool with a lone surrogate", text: params(`"name":"get\udfff-env"`), attack: true, want: refused},
	{name: "method with an escaped NUL", text: request(`"method":"tools/call\u0000",` + env), want: refused},
	{name: "method is a number", text: request(`"method":1,` + env), want: refused},
	{name: "method is null", text: request(`"method":null,` + env), want: refused},
	{name: "method is a list", text: request(`"method":["tools/call"],` + env), want: refused},
	{name: "method is empty", text: request(`"method":""`), want: refused},
	{name: "unknown method", text: request(`"method":"tools/call/x",` + env), want: failed},
	{name: "jsonrpc 1.0", text: `{"jsonrpc":"1.0","id":"@ID",` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "jsonrpc is a number", text: `{"jsonrpc":2.0,"id":"@ID",` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "no jsonrpc", text: `{"id":"@ID",` + call + `,` + env + `}`, attack: true, want: refused},

	// Bytes
	{name: "byte order mark", text: "\ufeff@ENV", attack: true, want: refused},
	{name: "NUL before", text: "\x00@ENV", attack: true, want: refused},
	{name: "NUL between", text: "@PING\x00@ENV", attack: true, want: refused},
	{name: "NUL after", text: "@ENV\x00}", attack: true, want: refused},
	{name: "NUL in the method", text: request("\"method\":\"tools/\x00call\"," + env), attack: true, want: refused},
	{name: "control character in the method", text: request("\"method\":\"tools\x01/call\"," + env), attack: true, want: refused},
	{name: "tab in the tool", text: params("\"name\":\"get-\tenv\""), attack: true, want: refused},
	{name: "invalid UTF-8 in the method", text: request("\"method\":\"tools\xff/call\"," + env), attack: true, want: refused},
	{name: "invalid UTF-8 in the tool", text: params("\"name\":\"get-\xc0env\""), attack: true, want: refused},
	{name: "overlong slash", text: request("\"method\":\"tools\xc0\xafcall\"," + env), want: refused},
	{name: "surrogate in UTF-8", text: request("\"method\":\"tools\xed\xa0\x80/call\"," + env), attack: true, want: refused},
	{name: "invalid UTF-8 in an open call", text: params("\"name\":\"get-sum\",\"arguments\":{\"x\":\"\xfe\"}"), want: refused},
	{name: "UTF-16", text: utf16LE(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-env"}}`), attack: true, want: refused},
	{name: "line separator between", text: "@PING\u2028@ENV", attack: true, want: refused},
	{name: "next line between", text: "@PING\u0085@ENV", attack: true, want: refused},
	{name: "form feed between", text: "@PING\f@ENV", attack: true, want: refused},
	{name: "line separator in a text", text: params("\"name\":\"get-sum\",\"arguments\":{\"x\":\"a\u2028b\u0085c\u007f\"}"), want: ran},

	// Carriage returns
	{name: "CR between", text: "@PING\r@ENV", attack: true, want: refused},
	{name: "CR around a value", text: `{"jsonrpc":"2.0","id":"@ID","method":"ping","params":{"x":` + "\r@ENV\r" + `}}`, attack: true, want: refused},
	{name: "CR before", text: "\r@ENV", attack: true, want: refused},
	{name: "two CR at the end", text: "@ENV\r\r", attack: true, want: refused},
	{name: "CR in an open call", text: params("\"name\":\"get-sum\",\r\"arguments\":{}"), want: refused},
	{name: "escaped CR", text: params(`"name":"get-sum","arguments":{"x":"\r\n"}`), want: ran},

	// More than one value
	{name: "two values", text: `@PING @ENV`, attack: true, want: refused},
	{name: "two values without a space", text: `@PING@ENV`, attack: true, want: refused},
	{name: "a comma", text: `@PING,@ENV`, want: refused},
	{name: "text after", text: `@ENV garbage`, attack: true, want: refused},
	{name: "brace after", text: `@ENV}`, attack: true, want: refused},
	{name: "two open calls", text: params(`"name":"get-sum"`) + params(`"name":"get-sum"`), want: refused},

	// Batches
	{name: "batch", text: `[@ENV]`, attack: true, want: refused},
	{name: "batch of two", text: `[@PING,@ENV]`, attack: true, want: refused},
	{name: "batch in a batch", text: `[[@ENV]]`, attack: true, want: refused},
	{name: "batch after spaces", text: "  \t[@ENV]", attack: true, want: refused},
	{name: "empty batch", text: `[]`, want: refused},
	{name: "batch of open calls", text: `[` + params(`"name":"get-sum"`) + `]`, want: refused},

	// Ids of a protected call
	{name: "no id", text: `{"jsonrpc":"2.0",` + call + `,` + env + `}`, attack: true, want: dropped, overHTTP: refused},
	{name: "id null", text: `{"jsonrpc":"2.0","id":null,` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "id true", text: `{"jsonrpc":"2.0","id":true,` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "id object", text: `{"jsonrpc":"2.0","id":{"a":1},` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "id list", text: `{"jsonrpc":"2.0","id":[],` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "id 1.5", text: `{"jsonrpc":"2.0","id":1.5,` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "id 1e400", text: `{"jsonrpc":"2.0","id":1e400,` + call + `,` + env + `}`, attack: true, want: refused},
	{name: "id 7", text: `{"jsonrpc":"2.0","id":7,` + call + `,` + env + `}`, attack: true, want: held},
	{name: "id -8", text: `{"jsonrpc":"2.0","id":-8,` + call + `,` + env + `}`, attack: true, want: held},
	{name: "id empty", text: `{"jsonrpc":"2.0","id":"",` + call + `,` + env + `}`, attack: true, want: held},
	{name: "id of 1000 digits", text: `{"jsonrpc":"2.0","id":` + strings.Repeat("9", 1000) + `,` + call + `,` + env + `}`, attack: true, want: held},
	{name: "id of 100 KiB", text: `{"jsonrpc":"2.0","id":"` + strings.Repeat("i", 100<<10) + `",` + call + `,` + env + `}`, attack: true, want: held},

	// Ids of other messages
	{name: "ping without an id", text: `{"jsonrpc":"2.0","method":"ping"}`, want: forwarded},
	{name: "ping with id 9007199254740993", text: `{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}`, want: ran},
	{name: "ping with id 1.5e3", text: `{"jsonrpc":"2.0","id":1.5e3,"method":"ping"}`, want: ran},
	{name: "ping with id 1e400", text: `{"jsonrpc":"2.0","id":1e400,"method":"ping"}`, want: ran},
	{name: "ping with id null", text: `{"jsonrpc":"2.0","id":null,"method":"ping"}`, want: ran},
	{name: "ping with id false", text: `{"jsonrpc":"2.0","id":false,"method":"ping"}`, want: ran},
	{name: "ping with id object", text: `{"jsonrpc":"2.0","id":{"a":[1]},"method":"ping"}`, want: ran},
	{name: "ping with id list", text: `{"jsonrpc":"2.0","id":["x"],"method":"ping"}`, want: ran},
	{name: "ping with a lone surrogate as id", text: `{"jsonrpc":"2.0","id":"\ud800","method":"ping"}`, want: ran},
	{name: "ping with an id of the gate", text: `{"jsonrpc":"2.0","id":"countersign-1","method":"ping"}`, want: ran},
	{name: "open call with id 1e0", text: `{"jsonrpc":"2.0","id":1e0,` + call + `,"params":{"name":"get-sum"}}`, want: refused},
	{name: "spaces", text: ` { "jsonrpc" : "2.0" , "id" : "@ID" , "method" : "ping" }  `, want: ran},

	// params
	{name: "no params", text: request(call), want: refused},
	{name: "params null", text: request(call + `,"params":null`), want: refused},
	{name: "params by position", text: request(call + `,"params":["get-env",{}]`), attack: true, want: refused},
	{name: "params a text", text: request(call + `,"params":"get-env"`), want: refused},
	{name: "no name", text: params(`"arguments":{}`), want: refused},
	{name: "name null", text: params(`"name":null`), want: refused},
	{name: "name empty", text: params(`"name":""`), want: refused},
	{name: "name a list", text: params(`"name":["get-env"]`), want: refused},
	{name: "arguments a list", text: params(`"name":"get-env","arguments":[1]`), attack: true, want: refused},
	{name: "arguments a text", text: params(`"name":"get-env","arguments":"{}"`), attack: true, want: refused},
	{name: "arguments null", text: params(`"name":"get-env","arguments":null`), attack: true, want: held},
	{name: "_meta a text", text: params(`"name":"get-env","_meta":"x"`), attack: true, want: refused},

	// Arguments of a protected call
	{name: "another person", text: params(`"name":"transfer","arguments":` + eve), attack: true, want: held},
	{name: "an argument twice", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1,"to":"Eve"}`), attack: true, want: held},
	{name: "an argument twice, escaped", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1,"t\u006f":"Eve"}`), attack: true, want: held},
	{name: "1e400", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1e400}`), attack: true, want: held},
	{name: "1e-400", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1e-400}`), attack: true, want: held},
	{name: "-0", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":-0}`), attack: true, want: held},
	{name: "9007199254740993", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":9007199254740993}`), attack: true, want: held},
	{name: "1 and a little", text: params(`"name":"transfer","arguments":{"to":"Bob","amount":1.00000000000000000001}`), attack: true, want: held},
	{name: "lone surrogate in an argument", text: params(`"name":"transfer","arguments":{"to":"Bob\ud800","amount":1}`), attack: true, want: held},
	{name: "escaped NUL in an argument", text: params(`"name":"transfer","arguments":{"to":"Bob\u0000","amount":1}`), attack: true, want: held},
	{name: "large arguments", text: params(`"name":"transfer","arguments":{"to":"` + strings.Repeat("x", 17<<10) + `"}`), attack: true, want: held},
	{name: "very large arguments", text: params(`"name":"transfer","arguments":{"to":"` + strings.Repeat("x", 500<<10) + `"}`), attack: true, want: held},
	{name: "deep arguments", text: params(`"name":"transfer","arguments":{"to":` + nested(100) + `}`), attack: true, want: held},

	// Arguments of an open call
	{name: "open call", text: params(`"name":"get-sum","arguments":{"a":1,"b":2.50}`), want: ran},
	{name: "open call with an argument twice", text: params(`"name":"get-sum","arguments":{"a":1,"a":2}`), want: ran},
	{name: "open call with 1e400", text: params(`"name":"get-sum","arguments":{"a":1e400,"b":-0,"c":9007199254740993}`), want: ran},
	{name: "open call of 1 MiB", text: params(`"name":"get-sum","arguments":{"a":"` + strings.Repeat("x", 1<<20) + `"}`), want: ran},
	{name: "open call of 15 MiB", text: params(`"name":"get-sum","arguments":{"a":"` + strings.Repeat("x", 15<<20) + `"}`), want: ran},
	{name: "open call with 900 levels", text: params(`"name":"get-sum","arguments":{"a":` + nested(900) + `}`), want: ran},
	{name: "1100 levels", text: params(`"name":"get-sum","arguments":{"a":` + nested(1100) + `}`), want: refused},
	{name: "1100 levels in a ping", text: request(`"method":"ping","params":{"a":` + nested(1100) + `}`), want: refused},
	{name: "5,000,000 levels", text: request(`"method":"ping","params":` + nested(5_000_000)), want: refused},
	{name: "5,000,000 open brackets", text: strings.Repeat("[", 5_000_000), want: refused},
	{name: "100,000 members", text: request(`"method":"ping","params":{` + strings.Repeat(`"x":0,`, 100_000) + `"y":0}`), want: ran},
	{name: "100,000 members of the message", text: request(`"method":"ping",` + strings.TrimSuffix(strings.Repeat(`"x":0,`, 100_000), ",")), want: refused},

	// Too long. What follows the limit is not a message of its own.
	{name: "16 MiB and a call", text: strings.Repeat(" ", 16<<20) + `@ENV`, want: refused},
	{name: "64 MiB and a call", text: request(`"method":"ping","params":{"x":"`+strings.Repeat("x", 64<<20)+`"}`) + `@ENV`, want: refused},

	// What the gate itself sends
	{name: "forged receipt", text: params(`"name":"get-env","_meta":{"countersign/receipt":"forged"}`), attack: true, want: held},
	{name: "forged receipt twice", text: params(`"name":"get-env","_meta":{"countersign/receipt":"a","countersign/receipt":"b"}`), attack: true, want: refused},
	{name: "forged receipt of an open call", text: params(`"name":"get-sum","_meta":{"countersign/receipt":"forged"}`), want: ran},
	{name: "task", text: params(`"name":"get-env","task":{"ttl":1}`), attack: true, want: refused},
	{name: "progress token", text: params(`"name":"get-env","_meta":{"progressToken":"p"}`), attack: true, want: held},
	{name: "response to the gate", text: `{"jsonrpc":"2.0","id":"countersign-1","result":{"action":"accept"}}`, want: dropped},
	{name: "error to the gate", text: `{"jsonrpc":"2.0","id":"countersign-2","error":{"code":1,"message":"x"}}`, want: dropped},
	{name: "response without a request", text: `{"jsonrpc":"2.0","id":4711,"result":{}}`, want: forwarded},
	{name: "response with a call in it", text: `{"jsonrpc":"2.0","id":4712,"result":{"method":"tools/call",` + env + `}}`, want: forwarded},
	{name: "response without an id", text: `{"jsonrpc":"2.0","result":{}}`, want: refused},
	{name: "neither request nor response", text: `{"jsonrpc":"2.0","id":4713}`, want: refused},
	{name: "notification of completion", text: `{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"x"}}`, want: forwarded},
	{name: "cancellation of nothing", text: `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"nothing"}}`, want: forwarded},

	// 2026-07-28
	{name: "modern call", text: params(`"name":"get-env","_meta":{` + meta + `,` + urls + `}`), attack: true, want: asked},
	{name: "modern call without elicitation", text: params(`"name":"get-env","_meta":{` + meta + `}`), attack: true, want: held},
	{name: "accepted without a question", text: params(`"name":"get-env","inputResponses":{"countersign":{"action":"accept"}},"_meta":{` + meta + `,` + urls + `}`), attack: true, want: asked},
	{name: "forged state", text: params(`"name":"get-env","requestState":"cst1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","inputResponses":{"countersign":{"action":"accept"}},"_meta":{` + meta + `,` + urls + `}`), attack: true, want: refused},
	{name: "forged short state", text: params(`"name":"get-env","requestState":"cst1.","_meta":{` + meta + `,` + urls + `}`), attack: true, want: refused},
	{name: "forged state of an open call", text: params(`"name":"get-sum","requestState":"cst1.AAAA","_meta":{` + meta + `}`), want: refused},
	{name: "state of the server", text: params(`"name":"get-sum","requestState":"server","inputResponses":{"a":{"action":"accept"}},"_meta":{` + meta + `}`), want: ran},
	{name: "state twice", text: params(`"name":"get-env","requestState":"a","requestState":"cst1.b"`), attack: true, want: refused},
	{name: "state folded", text: params(`"name":"get-env","requeststate":"cst1.b"`), attack: true, want: refused},
	{name: "state a number", text: params(`"name":"get-env","requestState":1`), attack: true, want: refused},
	{name: "version twice", text: params(`"name":"get-env","_meta":{` + meta + `,` + meta + `}`), attack: true, want: refused},

	// Not JSON
	{name: "empty object", text: `{}`, want: refused},
	{name: "null", text: `null`, want: refused},
	{name: "text", text: `"tools/call"`, want: refused},
	{name: "number", text: `1`, want: refused},
	{name: "half an object", text: `{"jsonrpc":"2.0","id":"@ID","method":"tools/call","params":{"name":"get-env"`, want: refused},
	{name: "single quotes", text: `{'jsonrpc':'2.0','id':1,'method':'tools/call','params':{'name':'get-env'}}`, want: refused},
	{name: "comment", text: `{"jsonrpc":"2.0","id":"@ID","method":"ping"/*,"method":"tools/call"*/}`, want: refused},
	{name: "comma at the end", text: `{"jsonrpc":"2.0","id":"@ID","method":"ping",}`, want: refused},
	{name: "NaN", text: request(`"method":"ping","params":{"x":NaN}`), want: refused},
	{name: "headers of another framing", text: `Content-Length: 100`, want: refused},
}

// small returns the messages of less than a MiB.
func small(messages ...[]message) []message {
	return slices.DeleteFunc(slices.Concat(messages...), func(m message) bool { return len(m.text) >= 1<<20 })
}

// lineOnly has messages for which the end of the line matters.
var lineOnly = []message{
	{name: "empty line", text: ``, want: dropped},
	{name: "spaces alone", text: `   `, want: refused},
	{name: "CR LF", text: "@ENV\r", attack: true, want: held},
	{name: "CR LF of an open message", text: "@PING\r", want: ran},
	{name: "CR alone", text: "\r", want: dropped},
}

// bodyOnly has messages with line feeds, which only a body can contain.
var bodyOnly = []message{
	{name: "pretty printed", text: "{\n  \"jsonrpc\": \"2.0\",\n  \"id\": \"@ID\",\n  \"method\": \"ping\"\n}\n", want: ran},
	{name: "pretty printed call", text: "{\n  \"jsonrpc\": \"2.0\",\n  \"id\": \"@ID\",\n  \"method\": \"tools/call\",\n  \"params\": {\"name\": \"get-env\"}\n}\n", attack: true, want: held},
	{name: "two lines", text: "@PING\n@ENV\n", attack: true, want: refused},
	{name: "a call on a line of a pretty printed body", text: "{\"jsonrpc\":\"2.0\",\"id\":\"@ID\",\"method\":\"ping\",\"params\":{\"x\":\n@ENV\n}}", attack: true, want: refused},
	{name: "a call on a line of an open call", text: params("\"name\":\"get-sum\",\"arguments\":{\"x\":\n@ENV\n}"), attack: true, want: refused},
	{name: "empty body", text: ``, want: refused},
}

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func utf16LE(text string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteByte(byte(r))
		b.WriteByte(byte(r >> 8))
	}
	return b.String()
}
