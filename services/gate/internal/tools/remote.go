package tools

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

// endTime limits the end of a session.
const endTime = 2 * time.Second

// Remote is a server with streamable HTTP.
type Remote struct {
	url              string
	token            client.Secret
	http             *http.Client
	version, session string
}

// Dial returns a Remote. It sends nothing. token is an access token for the server, or zero.
func Dial(upstream *url.URL, token client.Secret) *Remote {
	// A redirect would send the token to another address.
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Remote{url: upstream.String(), token: token, http: &http.Client{CheckRedirect: refuse}}
}

func (r *Remote) agreed(version string) { r.version = version }

func (r *Remote) exchange(ctx context.Context, m request) (json.RawMessage, error) {
	m.Version = "2.0"
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("writing to the server: %w", err)
	}
	answer, err := r.send(ctx, http.MethodPost, m.Method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if m.ID == 0 && answer.StatusCode/100 == 2 {
		return nil, nil
	}
	if id := answer.Header.Get("Mcp-Session-Id"); id != "" && m.Method == "initialize" {
		r.session = id
	}
	return read(answer, m.ID)
}

// read returns the result in an answer of the server.
func read(answer *http.Response, id int) (json.RawMessage, error) {
	limited := &io.LimitedReader{R: answer.Body, N: maxMessage + 1}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	var m response
	var err error
	if answer.StatusCode/100 == 2 && kind == "text/event-stream" {
		m, err = readEvents(limited, id)
	} else {
		err = json.NewDecoder(limited).Decode(&m)
	}
	switch {
	case limited.N == 0:
		return nil, errors.New("a message of the server is too long")
	case answer.StatusCode/100 == 4 && err == nil && m.Error != nil:
		return m.result() // a server of the modern era refuses initialize with an HTTP status and a JSON-RPC error
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("the server answered with the HTTP status %d: it needs an access token", answer.StatusCode)
	case answer.StatusCode/100 == 4 && answer.StatusCode != http.StatusNotFound:
		return nil, failure{"HTTP status", answer.StatusCode}
	case answer.StatusCode/100 != 2:
		return nil, fmt.Errorf("the server answered with the HTTP status %d", answer.StatusCode)
	case err != nil:
		return nil, fmt.Errorf("reading the server's answer: %w", err)
	case string(m.ID) != strconv.Itoa(id):
		return nil, errors.New("the server answered another request")
	}
	return m.result()
}

// readEvents returns the response to a request in a stream of server-sent events. Requests of the server are not answered.
func readEvents(stream io.Reader, id int) (response, error) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxMessage)
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		if value, found := bytes.CutPrefix(line, []byte("data:")); found {
			data = append(append(data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
		}
		if len(line) > 0 || len(data) == 0 {
			continue
		}
		var m response
		if json.Unmarshal(data, &m) == nil && m.Method == "" && string(m.ID) == strconv.Itoa(id) {
			return m, nil
		}
		data = nil
	}
	if err := lines.Err(); err != nil {
		return response{}, err
	}
	return response{}, errors.New("the stream ended before the answer")
}

func (r *Remote) send(ctx context.Context, method, mcpMethod string, body io.Reader) (*http.Response, error) {
	out, err := http.NewRequestWithContext(ctx, method, r.url, body)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	out.Header.Set("Accept", "application/json, text/event-stream")
	out.Header.Set("Content-Type", "application/json")
	set := func(name, value string) {
		if value != "" {
			out.Header.Set(name, value)
		}
	}
	set("Mcp-Session-Id", r.session)
	set("MCP-Protocol-Version", r.version)
	if r.version >= modern {
		set("Mcp-Method", mcpMethod)
	}
	if token := r.token.Reveal(); token != "" {
		set("Authorization", "Bearer "+token)
	}
	answer, err := r.http.Do(out)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	return answer, nil
}

// Close ends the session, if there is one.
func (r *Remote) Close() {
	if r.session == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if answer, err := r.send(ctx, http.MethodDelete, "", nil); err == nil {
		answer.Body.Close()
	}
}
