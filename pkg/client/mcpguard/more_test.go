package mcpguard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/mcpguard"
)

type order struct {
	To     string  `json:"to"`
	Amount float64 `json:"amount"`
}

type receiptOf struct {
	Number string `json:"number"`
}

func TestHandlerWithTypes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		mcp.AddTool(s.server, &mcp.Tool{Name: "transfer"}, mcpguard.For(s.guard, "pay", func(ctx context.Context, req *mcp.CallToolRequest, in order) (*mcp.CallToolResult, receiptOf, error) {
			s.record(ctx, req)
			return nil, receiptOf{Number: "to " + in.To}, nil
		}))
		c := s.connect(way, version, nil)
		s.refused(s.call(c, params()), clienttest.Link)
		s.want()
		s.double.Decide("approved")
		result := s.call(c, params())
		if got, _ := json.Marshal(result.StructuredContent); result.IsError || string(got) != `{"number":"to Bob"}` {
			t.Errorf("%s, %q", got, text(result))
		}
		s.want(0)
	})
}

func TestArgumentsThatCannotBeApproved(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect("memory", modern, nil)
	for _, arguments := range []string{`{"to":"Bob","to":"Eve"}`, `{"amount":9007199254740993}`, `{"to":"` + strings.Repeat("x", 17<<10) + `"}`, `"canary"`} {
		p := params()
		p.Arguments = json.RawMessage(arguments)
		s.refused(s.call(c, p), "cannot be approved")
	}
	s.want()
	p := params()
	p.Arguments = json.RawMessage(`null`)
	s.refused(s.call(c, p), clienttest.Link)
	if all := s.double.Approvals(); len(all) != 1 || all[0].Arguments != "{}" {
		t.Errorf("approvals %+v", all)
	}
}

func TestCountersignThatDoesNotAnswerOpensNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 301, 401, 404, 422, 500} {
		s := start(t)
		s.double.Mode("open", "pay")
		s.double.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true })
		s.refused(s.call(s.connect("memory", modern, nil), params()), "Countersign")
		s.want()
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect("memory", modern, manual())
	state := s.call(c, params()).RequestState
	s.double.Decide("approved")
	s.call(c, with(state))
	s.double.Answer("denied")
	s.call(c, with(s.call(c, params()).RequestState))
	s.want(0)
	log := s.log.String()
	for _, decision := range []string{"waiting", "confirmed", "refused"} {
		if !strings.Contains(log, `"decision":"`+decision+`"`) {
			t.Errorf("the log has no decision %s", decision)
		}
	}
	if strings.Contains(log, "canary") || strings.Contains(log, "Bob") || strings.Contains(log, state) {
		t.Errorf("log:\n%s", log)
	}
}

func TestListOfToolsDoesNotChange(t *testing.T) {
	t.Parallel()
	guarded := start(t)
	plain := start(t)
	plain.server.AddTool(tool("transfer"), plain.execute)
	var lists []any
	for _, s := range []*site{guarded, plain} {
		list, err := s.connect("http", modern, nil).ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list.Tools)
	}
	if !reflect.DeepEqual(lists[0], lists[1]) {
		t.Errorf("%+v, %+v", lists[0], lists[1])
	}
}

func TestNewRefusesConfig(t *testing.T) {
	t.Parallel()
	ok := mcpguard.Config{Countersign: client.Config{URL: "http://a.example", Instance: "i", ProxyKey: client.NewSecret("csp_canary")}, Customer: "c"}
	if _, err := mcpguard.New(ok); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*mcpguard.Config){
		"no URL":       func(c *mcpguard.Config) { c.Countersign.URL = "" },
		"no proxy key": func(c *mcpguard.Config) { c.Countersign.ProxyKey = client.Secret{} },
		"no person":    func(c *mcpguard.Config) { c.Customer = "" },
		"Customer and Person": func(c *mcpguard.Config) {
			c.Person = func(context.Context, *mcp.CallToolRequest) (client.Person, error) { return client.Person{}, nil }
		},
		"negative Wait": func(c *mcpguard.Config) { c.Wait = -1 },
		"long Wait":     func(c *mcpguard.Config) { c.Wait = 11 * time.Minute },
	} {
		c := ok
		change(&c)
		if _, err := mcpguard.New(c); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
