package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode/utf16"
)

// serveHTTP serves every path and every method alike, and reads every kind of body.
func (r *recorder) serveHTTP(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	r.record(Record{Listen: listener.Addr().String()})
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Header.Get("Upgrade") != "" {
			r.upgrade(w)
			return
		}
		body, err := io.ReadAll(decoded(request))
		if err != nil {
			http.Error(w, "recorder: "+err.Error(), http.StatusBadRequest)
			return
		}
		r.received(request.Method+" "+request.RequestURI, request.Header, body)
		if len(body) == 0 {
			http.Error(w, "recorder: no body", http.StatusMethodNotAllowed)
			return
		}
		answer := make(chan []byte, 1)
		if !r.answer(body, func(text []byte) { answer <- text }) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		select {
		case text := <-answer:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(text)
		case <-request.Context().Done():
		}
	}))
}

// decoded returns the body of a request as a server reads it that supports compression and other charsets.
func decoded(request *http.Request) io.Reader {
	switch {
	case request.Header.Get("Content-Encoding") == "gzip":
		if body, err := gzip.NewReader(request.Body); err == nil {
			return body
		}
	case strings.Contains(strings.ToLower(request.Header.Get("Content-Type")), "utf-16"):
		raw, err := io.ReadAll(request.Body)
		if err != nil {
			return request.Body
		}
		var units []uint16
		for ; len(raw) >= 2; raw = raw[2:] {
			units = append(units, binary.LittleEndian.Uint16(raw))
		}
		return strings.NewReader(string(utf16.Decode(units)))
	}
	return request.Body
}

// upgrade switches to another protocol, in which each line is a message.
func (r *recorder) upgrade(w http.ResponseWriter) {
	connection, stream, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	for in := bufio.NewScanner(stream); in.Scan(); {
		r.received("upgraded", nil, in.Bytes())
		r.answer(in.Bytes(), func(text []byte) { _, _ = connection.Write(append(text, '\n')) })
	}
}
