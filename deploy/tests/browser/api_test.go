package browser

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// request sends a request to a service. A header has the form "Name: value".
func request(t *testing.T, method, url string, body any, headers ...string) (status int, answer map[string]any) {
	t.Helper()
	encoded, err := json.Marshal(body)
	must(t, err)
	r, err := http.NewRequest(method, url, bytes.NewReader(encoded))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	for _, header := range headers {
		name, text, _ := strings.Cut(header, ": ")
		r.Header.Set(name, text)
	}
	response, err := http.DefaultClient.Do(r)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	_ = json.Unmarshal(text, &answer) // not every response has a JSON body
	return response.StatusCode, answer
}

// create sends a POST request to pin-admin and returns the id of the created object.
func create(t *testing.T, path string, body map[string]any) string {
	t.Helper()
	status, answer := request(t, "POST", stack.PinAdminURL+path, body, "X-Api-Key: "+stack.APIKey)
	if status != http.StatusCreated {
		t.Fatalf("%s answered %d %v", path, status, answer)
	}
	return answer["id"].(string)
}

// verify verifies a PIN as the demo's agent.
func verify(t *testing.T, customer, pin string) (answer map[string]any) {
	t.Helper()
	_, answer = request(t, "POST", stack.PinInternalURL+"/internal/v1/instances/"+stack.InstanceID+"/pin/verify",
		map[string]any{"pin": pin, "customer_id": customer}, "Authorization: Bearer "+stack.ProxyKey)
	return answer
}

func execute(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := db.Exec(statement, args...)
	must(t, err)
}

func quoted(text string) string {
	q, _ := json.Marshal(text) // a string can always be encoded
	return string(q)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
