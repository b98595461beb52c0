package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// patience is how long an answer may take. On emulated nodes with every core busy,
// what takes a millisecond elsewhere has taken ten seconds.
const patience = 30 * time.Second

// asker repeats a request, each time over a new connection, so that a service can
// choose another backend.
type asker struct {
	client *http.Client
	method string
	token  string
}

func newAsker(flags *flag.FlagSet) func() (*asker, error) {
	timeout := flags.Duration("timeout", patience, "for one request")
	method := flags.String("method", http.MethodGet, "HTTP method")
	ca := flags.String("ca", "", "file with the authorities that the server's certificate must come from")
	token := flags.String("token", "", "file with a bearer token")
	return func() (*asker, error) {
		transport := &http.Transport{DisableKeepAlives: true}
		if *ca != "" {
			pem, err := os.ReadFile(*ca)
			if err != nil {
				return nil, err
			}
			transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
			transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
		}
		a := &asker{client: &http.Client{Transport: transport, Timeout: *timeout}, method: *method}
		if *token != "" {
			data, err := os.ReadFile(*token)
			if err != nil {
				return nil, err
			}
			a.token = strings.TrimSpace(string(data))
		}
		return a, nil
	}
}

func (a *asker) ask(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, a.method, url, nil)
	if err != nil {
		return "", err
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return "", err
	}
	if response.StatusCode >= 300 {
		return "", fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	return string(body), nil
}

func get(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	times := flags.Int("n", 1, "how many requests")
	prepare := newAsker(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("get wants one URL\n%s", usage)
	}
	asker, err := prepare()
	if err != nil {
		return err
	}
	for range *times {
		answer, err := asker.ask(ctx, flags.Arg(0))
		if err != nil {
			return err
		}
		if _, err := io.WriteString(out, answer); err != nil {
			return err
		}
	}
	return nil
}

func watch(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	interval := flags.Duration("interval", 250*time.Millisecond, "pause between two requests")
	prepare := newAsker(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("watch wants one URL\n%s", usage)
	}
	asker, err := prepare()
	if err != nil {
		return err
	}
	requests, failures := 0, 0
	for ctx.Err() == nil {
		answer, err := asker.ask(ctx, flags.Arg(0))
		requests++
		if err != nil && ctx.Err() == nil {
			failures++
			fmt.Fprintf(out, "failed: %v\n", err)
		}
		fmt.Fprintf(out, "requests=%d failures=%d last=%q\n", requests, failures, strings.TrimSpace(answer))
		select {
		case <-ctx.Done():
		case <-time.After(*interval):
		}
	}
	return nil
}

func dial(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("dial wants a network and an address\n%s", usage)
	}
	dialer := net.Dialer{Timeout: patience}
	conn, err := dialer.DialContext(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "ping over "+args[0]+"\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, line)
	return err
}
