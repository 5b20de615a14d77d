package web

// StatusClientClosed is the status in the log and the metric when the client disconnects before the answer. It is never sent.
const StatusClientClosed = 499

// Later is the error that a handler returns after it has taken over the connection (http.Hijacker). Answer then runs in a
// goroutine of its own. It writes the answer and returns its status. The request is logged and measured after that.
type Later struct{ Answer func() (status int) }

func (*Later) Error() string { return "the answer is sent later" }
