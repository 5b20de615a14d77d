package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// ask makes one HTTP request from where it runs and prints the answer, with the options of curl that the tour uses: an
// agent on the private network, for people who have none there yet.
func ask(ctx context.Context, args []string) error {
	header := http.Header{}
	flags := flag.NewFlagSet("ask", flag.ContinueOnError)
	flags.Bool("sS", true, "as curl has it; it is always so")
	method := flags.String("X", "", "the method")
	body := flags.String("d", "", "the body")
	within := flags.Int("m", 30, "the longest that it may take, in seconds")
	status := flags.Bool("i", false, "print the status line too")
	flags.Func("H", "a header, as Name: value", func(line string) error {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return errors.New("want Name: value")
		}
		header.Add(name, strings.TrimSpace(value))
		return nil
	})
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "ask: want options, then one URL")
		return exitCode(2)
	}
	if *method == "" {
		*method = http.MethodGet
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(*within)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, *method, flags.Arg(0), strings.NewReader(*body))
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer resp.Body.Close()
	if *status {
		fmt.Println(resp.Proto, resp.Status)
	}
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	return nil
}
