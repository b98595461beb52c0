// Package serve answers HTTP requests of programs on this host, such as Grafana, while a
// command runs. It listens on 127.0.0.1 only, and refuses web pages whose own name resolves to
// that address.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

// Port is the flag for the port on 127.0.0.1.
type Port struct{ number int }

// Flag adds the flag to a command.
func Flag(cmd *cobra.Command, usual int) *Port {
	p := &Port{}
	cmd.Flags().IntVar(&p.number, "port", usual, "port on 127.0.0.1; 0 picks a free one")
	return p
}

// Check returns an error for the user if the number is not a port.
func (p *Port) Check() error {
	if p.number < 0 || p.number > 65535 {
		return cli.Invalid("", "--port must be between 0 and 65535")
	}
	return nil
}

// Listen opens the port.
func (p *Port) Listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)))
	if err != nil {
		return nil, cli.Invalid("choose another with --port, or 0 for any free one", "port %d on 127.0.0.1 is in use", p.number)
	}
	return listener, nil
}

// Run answers requests until ctx ends, apart from those that local refuses.
func Run(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: local(handler), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Proxy passes requests to the server at a URL. Web pages of other origins cannot read the
// answers, even if the server allows it.
func Proxy(to *url.URL, transport http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     transport,
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Access-Control-Allow-Origin")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}

// local refuses requests for names other than this host's own: web pages use one of theirs
// that resolves to 127.0.0.1 (DNS rebinding).
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if address := net.ParseIP(host); host != "localhost" && (address == nil || !address.IsLoopback()) {
			http.Error(w, "use the address 127.0.0.1", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
