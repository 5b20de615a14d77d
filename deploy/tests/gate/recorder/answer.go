package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// answer answers a request: it calls send once, now or later. It returns false if the message is not a request.
func (r *recorder) answer(raw []byte, send func([]byte)) bool {
	var request struct {
		ID     json.RawMessage
		Method string
		Params struct {
			Name      string
			Arguments struct {
				Group string
				Count int
				Code  int
			}
		}
	}
	if err := json.Unmarshal(raw, &request); err != nil {
		send([]byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"recorder: not read"}}`))
		return true
	}
	if len(request.ID) == 0 || request.Method == "" {
		return false
	}
	result := func(value string) { send(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, request.ID, value)) }
	ran := func() { result(`{"content":[{"type":"text","text":"recorder ran it"}],"isError":false}`) }
	arguments := request.Params.Arguments
	switch request.Method {
	case "initialize":
		result(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"recorder","version":"1"}}`)
	case "ping":
		result(`{}`)
	case "tools/list":
		result(`{"tools":[` + tool("get-sum") + `,` + tool("get-env") + `,` + tool("transfer") + `]}`)
	case "tools/call":
		switch request.Params.Name {
		case "exit":
			os.Exit(arguments.Code)
		case "hang":
		case "together": // answers when so many calls of the group have arrived
			r.together(arguments.Group, arguments.Count, ran)
		default:
			ran()
		}
	default:
		send(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"recorder: no such method"}}`, request.ID))
	}
	return true
}

func tool(name string) string {
	return fmt.Sprintf(`{"name":%q,"description":"A tool of the recorder","inputSchema":{"type":"object"}}`, name)
}

func (r *recorder) together(group string, count int, answer func()) {
	r.mu.Lock()
	r.parked[group] = append(r.parked[group], answer)
	all := r.parked[group]
	if len(all) == count {
		delete(r.parked, group)
	}
	r.mu.Unlock()
	if len(all) == count {
		for _, answer := range all {
			answer()
		}
	}
}
