package proxy_test

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/gate"
)

// startGate starts the proxy with a Gate in front of a server, and a double of Countersign that protects the tool pay.
func startGate(t *testing.T, s *server, wait time.Duration) (string, *clienttest.Countersign) {
	t.Helper()
	d := clienttest.New(t)
	d.Mode("approval", "pay")
	c, err := client.New(client.Config{URL: d.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey)})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	j := gate.New(gate.Config{
		Holder: hold.New(c, nil), Sealer: sealer(t, clienttest.ProxyKey), Wait: wait, Log: log, Metrics: gate.NewMetrics(prometheus.NewRegistry()),
	})
	return start(t, s, j, nil).URL, d
}

// ran returns the receipt in the only call that the server got.
func ran(t *testing.T, s *server) string {
	t.Helper()
	var receipts []string
	for _, r := range s.requests() {
		var m struct {
			Method string
			Params struct {
				Arguments json.RawMessage
				Meta      map[string]any `json:"_meta"`
			}
		}
		if json.Unmarshal([]byte(r.body), &m) == nil && m.Method == "tools/call" {
			receipt, _ := m.Params.Meta["countersign/receipt"].(string)
			receipts = append(receipts, receipt+" "+string(m.Params.Arguments))
		}
	}
	if len(receipts) != 1 {
		t.Fatalf("the server got the calls %q", receipts)
	}
	return receipts[0]
}

const approvedPay = ` {"amount":5,"to":"Bob"}`

func TestElicitationOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerSession)
	url, d := startGate(t, s, time.Minute)
	session := []string{"Mcp-Session-Id", begin(t, url), "MCP-Protocol-Version", "2025-11-25"}
	stream := bufio.NewReader(open(t, t.Context(), "POST", url+"/mcp", pay, session...).Body)
	var asked struct {
		ID     string
		Method string
		Params struct{ URL string }
	}
	if event := readEvent(t, stream); json.Unmarshal([]byte(event), &asked) != nil || asked.Method != "elicitation/create" || !strings.HasPrefix(asked.Params.URL, clienttest.Link) {
		t.Fatal(event)
	}
	if got := send(t, "POST", url+"/mcp", `{"jsonrpc":"2.0","id":"`+asked.ID+`","result":{"action":"accept"}}`, session...); got.status != 202 {
		t.Errorf("%+v", got)
	}
	d.Decide("approved")
	if event := readEvent(t, stream); !strings.Contains(event, "notifications/") {
		t.Error(event)
	}
	event := readEvent(t, stream)
	for strings.Contains(event, "notifications/") {
		event = readEvent(t, stream)
	}
	if event != ok {
		t.Error(event)
	}
	if got := ran(t, s); got != "receipt.canary."+d.Approvals()[0].ID+approvedPay {
		t.Error(got)
	}
}

func TestInputRequiredOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	url, d := startGate(t, s, time.Minute)
	call := func(more string) reply {
		body := strings.Replace(pay, `"params":{`, `"params":{`+more+
			`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}}}},`, 1)
		return send(t, "POST", url+"/mcp", body, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "pay")
	}
	var asked struct {
		Result struct{ ResultType, RequestState string }
	}
	got := call("")
	if json.Unmarshal([]byte(got.body), &asked) != nil || asked.Result.ResultType != "input_required" || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%+v", got)
	}
	d.Decide("approved")
	got = call(`"requestState":"` + asked.Result.RequestState + `","inputResponses":{"countersign":{"action":"accept"}},`)
	if got.body != ok || ran(t, s) != "receipt.canary."+d.Approvals()[0].ID+approvedPay {
		t.Errorf("%+v, %s", got, ran(t, s))
	}
}

func TestTextOverHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	url, d := startGate(t, s, 0)
	if got := send(t, "POST", url+"/mcp", pay); got.status != 200 || !strings.Contains(got.body, clienttest.Link) || len(s.requests()) != 0 {
		t.Fatalf("%+v", got)
	}
	d.Decide("approved")
	if got := send(t, "POST", url+"/mcp", pay); got.body != ok || ran(t, s) != "receipt.canary."+d.Approvals()[0].ID+approvedPay {
		t.Errorf("%+v, %s", got, ran(t, s))
	}
}
