package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func askCommand() *cobra.Command {
	var a ask
	cmd := &cobra.Command{
		Use: "ask [flags] URL", Short: "Send one HTTP request, like curl",
		Long: `ask sends one HTTP request and prints the answer. It has the flags of curl that the tour of the demo uses. In
docker-compose.yml, the service agent runs ask, to send requests to pin-internal on the private network. As with curl, the exit
code is 0 for every HTTP status.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("exactly one URL is needed")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args[0], cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVarP(&a.method, "request", "X", http.MethodGet, "the method of the request")
	cmd.Flags().StringVarP(&a.body, "data", "d", "", "the body of the request")
	cmd.Flags().StringArrayVarP(&a.headers, "header", "H", nil, "a header, as 'Name: value'; may be repeated")
	cmd.Flags().IntVarP(&a.seconds, "max-time", "m", 30, "how long the request may take, in seconds")
	cmd.Flags().BoolVarP(&a.status, "include", "i", false, "print the status line too")
	cmd.Flags().BoolP("silent", "s", true, "print no progress (always on)")
	cmd.Flags().BoolP("show-error", "S", true, "print errors (always on)")
	return cmd
}

type ask struct {
	method, body string
	headers      []string
	seconds      int
	status       bool
}

func (a ask) run(ctx context.Context, address string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.seconds)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, a.method, address, strings.NewReader(a.body))
	if err != nil {
		return usageError{err}
	}
	for _, line := range a.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return usageError{errors.New("a header must have the form 'Name: value'")}
		}
		req.Header.Add(name, strings.TrimSpace(value))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if a.status {
		fmt.Fprintln(out, resp.Proto, resp.Status)
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
