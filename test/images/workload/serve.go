package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// maxBody bounds what a request may store in a file.
const maxBody = 16 << 20

// server is the HTTP server of one container.
type server struct {
	unready, unhealthy atomic.Bool
	exit               func(code int)
}

func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	port := flags.Int("port", 8080, "port of HTTP; TCP and UDP echo listen on the next one")
	grace := flags.Duration("grace", 0, "how long to keep answering after SIGTERM")
	unready := flags.Bool("unready", false, "answer 503 on /readyz at first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := &server{exit: os.Exit}
	s.unready.Store(*unready)

	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", *port))
	if err != nil {
		return err
	}
	echo := fmt.Sprintf(":%d", *port+1)
	tcp, err := net.Listen("tcp", echo)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", echo)
	if err != nil {
		return err
	}
	go echoTCP(tcp)
	go echoUDP(udp)

	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	log.Printf("serving on %s", listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// A server that stops at once loses requests of proxies that have not removed it
	// yet.
	log.Printf("terminating in %s", *grace)
	time.Sleep(*grace)
	web.SetKeepAlivesEnabled(false)
	quiet, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := web.Shutdown(quiet); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprintf(w, "%s %s %s\n", name, os.Getenv("WORKLOAD_VERSION"), os.Getenv("NODE_NAME"))
	})
	mux.HandleFunc("GET /hostname", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprintln(w, name)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, os.Getenv("WORKLOAD_VERSION"))
	})
	mux.HandleFunc("GET /client", func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintln(w, host)
	})
	mux.HandleFunc("GET /env/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, os.Getenv(r.PathValue("name")))
	})
	mux.HandleFunc("GET /page", servePage)
	mux.HandleFunc("GET /events", serveEvents)
	mux.HandleFunc("GET /socket", serveSocket)
	mux.HandleFunc("GET /healthz", health(&s.unhealthy))
	mux.HandleFunc("GET /readyz", health(&s.unready))
	mux.HandleFunc("POST /healthz/{value}", change(&s.unhealthy))
	mux.HandleFunc("POST /readyz/{value}", change(&s.unready))
	mux.HandleFunc("GET /file", readFile)
	mux.HandleFunc("PUT /file", writeFile)
	mux.HandleFunc("POST /exit/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		log.Printf("exiting with %d", code)
		s.exit(code)
	})
	return mux
}

func health(bad *atomic.Bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if bad.Load() {
			http.Error(w, "switched off", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

func change(bad *atomic.Bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch value := r.PathValue("value"); value {
		case "on":
			bad.Store(false)
		case "off":
			bad.Store(true)
		default:
			http.Error(w, "want on or off, not "+value, http.StatusBadRequest)
			return
		}
		log.Printf("%s", r.URL.Path)
		fmt.Fprintln(w, "ok")
	}
}

func readFile(w http.ResponseWriter, r *http.Request) {
	file, err := os.Open(r.URL.Query().Get("path"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer file.Close()
	// The status is sent with the first byte; a later error can only cut the answer short.
	_, _ = io.Copy(w, file)
}

func writeFile(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = os.WriteFile(r.URL.Query().Get("path"), data, 0o644)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, len(data))
}

func echoTCP(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn) // an error means that the peer is gone
		}()
	}
}

func echoUDP(conn net.PacketConn) {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(buffer[:n], from) // datagrams may be lost
	}
}
