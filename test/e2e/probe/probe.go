// Package probe sends requests to the ports of a machine from inside. A test
// copies its own program to the machine and runs it there, with the requests on
// its standard input.
package probe

import (
	"bufio"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Variable is the environment variable that makes the test program call Main.
const Variable = "SKIFF_TEST_PROBE"

// timeout bounds a request.
const timeout = 20 * time.Second

// Ask is a request to a port.
type Ask struct {
	Address netip.AddrPort `json:"address"`
	// Clear selects plain HTTP, OldTLS at most TLS 1.2.
	Clear  bool `json:"clear,omitempty"`
	OldTLS bool `json:"oldTLS,omitempty"`
	// HTTP2 offers the server HTTP/2.
	HTTP2 bool `json:"http2,omitempty"`
	// Certificate and Key in PEM; none if empty.
	Certificate []byte            `json:"certificate,omitempty"`
	Key         []byte            `json:"key,omitempty"`
	Path        string            `json:"path"`
	Header      map[string]string `json:"header,omitempty"`
}

// Answer is the result of an Ask: an HTTP status, or the error.
type Answer struct {
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Listener is a port that a program of this machine listens on.
type Listener struct {
	// Network is "tcp" or "udp".
	Network string         `json:"network"`
	Address netip.AddrPort `json:"address"`
	// Program and PID identify the process; they are empty and 0 for the kernel.
	Program string `json:"program"`
	PID     int    `json:"pid"`
}

// Report is the output of Main: all listeners, and the answer to each Ask.
type Report struct {
	Listeners []Listener `json:"listeners"`
	Answers   []Answer   `json:"answers"`
}

// Main reads Asks as JSON and writes a Report as JSON.
func Main(in io.Reader, out io.Writer) error {
	var asks []Ask
	if err := json.NewDecoder(in).Decode(&asks); err != nil {
		return fmt.Errorf("read the requests: %w", err)
	}
	listeners, err := Listeners("/proc")
	if err != nil {
		return err
	}
	report := Report{Listeners: listeners, Answers: make([]Answer, len(asks))}
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, ask := range asks {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			report.Answers[i] = ask.Do()
		})
	}
	all.Wait()
	return json.NewEncoder(out).Encode(report)
}

// Do sends the request once.
func (a Ask) Do() Answer {
	scheme, transport := "https", &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // only the status is used
	if a.Clear {
		scheme = "http"
	}
	transport.ForceAttemptHTTP2 = a.HTTP2
	if a.OldTLS {
		transport.TLSClientConfig.MaxVersion = tls.VersionTLS12
	}
	if len(a.Certificate) > 0 {
		pair, err := tls.X509KeyPair(a.Certificate, a.Key)
		if err != nil {
			return Answer{Error: err.Error()}
		}
		// Send the certificate even if the server asks for one of other CAs.
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	request, err := http.NewRequest(http.MethodGet, scheme+"://"+a.Address.String()+a.Path, nil)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	for name, value := range a.Header {
		request.Header.Set(name, value)
	}
	client := http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	return Answer{Status: response.StatusCode, Error: text(response.Body.Close())}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Listeners returns the ports on which programs in this network namespace listen
// (proc_pid_net(5)); UDP sockets count when they are bound and not connected.
func Listeners(proc string) ([]Listener, error) {
	programs := owners(proc)
	var found []Listener
	for _, table := range []struct{ name, network, state string }{
		{"tcp", "tcp", "0A"}, {"tcp6", "tcp", "0A"}, {"udp", "udp", "07"}, {"udp6", "udp", "07"},
	} {
		file, err := os.Open(filepath.Join(proc, "self/net", table.name))
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != table.state {
				continue
			}
			address, err := parseAddress(fields[1])
			if err != nil {
				return nil, errors.Join(err, file.Close())
			}
			owner := programs[fields[9]]
			found = append(found, Listener{Network: table.network, Address: address, Program: owner.name, PID: owner.pid})
		}
		if err := errors.Join(lines.Err(), file.Close()); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// owner is a process with an open socket.
type owner struct {
	name string
	pid  int
}

// owners returns the owners of sockets by inode.
func owners(proc string) map[string]owner {
	programs := map[string]owner{}
	descriptors, _ := filepath.Glob(filepath.Join(proc, "[0-9]*/fd/*"))
	for _, d := range descriptors {
		target, err := os.Readlink(d)
		inode, ok := strings.CutPrefix(target, "socket:[")
		if err != nil || !ok {
			continue
		}
		process := filepath.Dir(filepath.Dir(d))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		pid, failed := strconv.Atoi(filepath.Base(process))
		if err == nil && failed == nil {
			programs[strings.TrimSuffix(inode, "]")] = owner{strings.TrimSpace(string(name)), pid}
		}
	}
	return programs
}

// parseAddress parses ADDRESS:PORT in hexadecimal. The address consists of words
// in the byte order of the machine, which is assumed to be little-endian.
func parseAddress(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("parse address %q: %w", text, err)
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("parse address %q: want ADDRESS:PORT", text)
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(number)), nil
}
