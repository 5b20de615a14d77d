package exchange

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The sandbox has one account. Its credentials are public.
const (
	sandboxKey    = "sandbox-key"
	sandboxSecret = "sandbox-secret"
	sandboxPath   = "/v1/account"
	// sandboxWindow is the maximum difference between the signed time and the current time.
	sandboxWindow = 30 * time.Second
)

func buildSandbox(in input) (signedRequest, error) {
	return signedRequest{method: http.MethodGet, path: sandboxPath, header: map[string]string{
		"X-Sandbox-Key":       in.APIKey.Reveal(),
		"X-Sandbox-Timestamp": in.millis(),
		"X-Sandbox-Signature": signSandbox(in.APISecret.Reveal(), in.millis()+http.MethodGet+sandboxPath),
	}}, nil
}

// signSandbox signs the concatenation of time, method and path.
func signSandbox(secret, text string) string {
	return hex.EncodeToString(mac(sha256.New, []byte(secret), text))
}

func parseSandbox(status int, body []byte) Code {
	var answer struct {
		Account string `json:"account"`
		Error   string `json:"error"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil:
	case status == http.StatusOK && answer.Account != "":
		return OK
	case answer.Error == "unknown key", answer.Error == "wrong signature":
		return InvalidCredentials
	}
	return Unreachable
}

// Sandbox simulates an exchange with one account, for demonstrations and tests. It checks signatures like a real exchange.
func Sandbox() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+sandboxPath, func(w http.ResponseWriter, r *http.Request) {
		status, answer := http.StatusUnauthorized, map[string]string{}
		at := r.Header.Get("X-Sandbox-Timestamp")
		millis, _ := strconv.ParseInt(at, 10, 64) // zero for an invalid number, which is out of the window
		signature := signSandbox(sandboxSecret, at+r.Method+r.URL.Path)
		switch {
		case r.Header.Get("X-Sandbox-Key") != sandboxKey:
			answer["error"] = "unknown key"
		case time.Since(time.UnixMilli(millis)).Abs() > sandboxWindow:
			answer["error"] = "timestamp out of range"
		case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Sandbox-Signature")), []byte(signature)) != 1:
			answer["error"] = "wrong signature"
		default:
			status, answer["account"] = http.StatusOK, "sandbox"
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // it fails only when the client has disconnected
	})
	return mux
}

// ServeSandbox serves the Sandbox on a free port of 127.0.0.1 until stop is called.
func ServeSandbox() (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	server := &http.Server{Handler: Sandbox(), ReadHeaderTimeout: answerTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // after a failure, tests at the sandbox return Unreachable
	}()
	return "http://" + listener.Addr().String(), func() { server.Close(); <-ended }, nil
}
