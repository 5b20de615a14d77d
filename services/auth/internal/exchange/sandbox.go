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

// The one account at the sandbox, which everybody knows.
const (
	sandboxKey    = "sandbox-key"
	sandboxSecret = "sandbox-secret"
	sandboxPath   = "/v1/account"
	// sandboxWindow is how far a signed time may be from now.
	sandboxWindow = 30 * time.Second
)

func askSandbox(q question) (call, error) {
	return call{method: http.MethodGet, path: sandboxPath, header: map[string]string{
		"X-Sandbox-Key":       q.APIKey.Reveal(),
		"X-Sandbox-Timestamp": q.millis(),
		"X-Sandbox-Signature": signSandbox(q.APISecret.Reveal(), q.millis()+http.MethodGet+sandboxPath),
	}}, nil
}

// signSandbox signs the time, the method and the path, one behind the other.
func signSandbox(secret, text string) string {
	return hex.EncodeToString(mac(sha256.New, []byte(secret), text))
}

func readSandbox(status int, body []byte) Code {
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

// Sandbox is an exchange with one account, for trying a connection out: it checks the signature as a real one does.
func Sandbox() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+sandboxPath, func(w http.ResponseWriter, r *http.Request) {
		status, answer := http.StatusUnauthorized, map[string]string{}
		at := r.Header.Get("X-Sandbox-Timestamp")
		millis, _ := strconv.ParseInt(at, 10, 64) // what is no number is long ago
		signature := signSandbox(sandboxSecret, at+r.Method+r.URL.Path)
		switch {
		case r.Header.Get("X-Sandbox-Key") != sandboxKey:
			answer["error"] = "unknown key"
		case time.Since(time.UnixMilli(millis)).Abs() > sandboxWindow:
			answer["error"] = "not the time"
		case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Sandbox-Signature")), []byte(signature)) != 1:
			answer["error"] = "wrong signature"
		default:
			status, answer["account"] = http.StatusOK, "sandbox"
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // who hung up is nobody to report this to
	})
	return mux
}

// ServeSandbox serves the Sandbox on this machine's loopback, on a port of its choice, until stop is called.
func ServeSandbox() (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	server := &http.Server{Handler: Sandbox(), ReadHeaderTimeout: answerTime}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // without it the sandbox is unreachable, which is an answer
	}()
	return "http://" + listener.Addr().String(), func() { server.Close(); <-ended }, nil
}
