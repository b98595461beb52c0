package server_test

import (
	"bufio"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
)

// ports probes every port that the process listens on, without credentials and with
// wrong ones: every port requires TLS, and only the API server's health endpoints
// answer.
func (c *cluster) ports(t *testing.T) {
	listening := listeners(t, c.process.Process.Pid)
	want := []int{c.settings.Port, c.settings.EtcdClientPort, c.settings.EtcdPeerPort}
	slices.Sort(want)
	var got []int
	for _, l := range listening {
		got = append(got, int(l.Port()))
		if l.Addr() != c.settings.Node.Network.Address.Addr() {
			t.Errorf("listens on %s, which is not its own address", l)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("listens on ports %v, not %v", got, want)
	}
	for _, credentials := range c.wrongCredentials(t) {
		for _, l := range listening {
			t.Run(fmt.Sprintf("%s at port %d", credentials.name, l.Port()), func(t *testing.T) {
				status, err := ask(t, l.String(), credentials.certificates)
				if err == nil && status != http.StatusUnauthorized {
					t.Errorf("accepted: status %d", status)
				}
				if err == nil && int(l.Port()) != c.settings.Port {
					t.Errorf("etcd answers with status %d", status)
				}
			})
		}
	}
	for _, l := range listening {
		if answer := inClear(t, l.String()); !strings.HasPrefix(answer, "HTTP/1.0 400") && answer != "" {
			t.Errorf("port %d answers without TLS: %q", l.Port(), answer)
		}
	}
}

type credentials struct {
	name         string
	certificates []tls.Certificate
}

// wrongCredentials returns no credentials, those of another cluster, and those of
// this one for another purpose.
func (c *cluster) wrongCredentials(t *testing.T) []credentials {
	t.Helper()
	other, err := pki.Authorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := pki.Host(other, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair := func(certificate, key []byte) []tls.Certificate {
		p, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{p}
	}
	own := func(name string) []tls.Certificate {
		certificate, err := os.ReadFile(filepath.Join(c.dir, "pki", name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(filepath.Join(c.dir, "pki", name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		return pair(certificate, key)
	}
	return []credentials{
		{"nothing", nil},
		{"another cluster's admin", pair(foreign["admin.crt"], foreign["admin.key"])},
		{"another cluster's host", pair(foreign["host.crt"], foreign["host.key"])},
		{"the front proxy without a user", own("front-proxy-client")},
		{"the node API's server certificate", own("node-api")},
	}
}

// ask requests something that requires a certificate.
func ask(t *testing.T, address string, certificates []tls.Certificate) (int, error) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, Certificates: certificates}, //nolint:gosec // a stranger
		DisableKeepAlives: true,
	}}
	response, err := client.Get("https://" + address + "/api")
	if err != nil {
		return 0, err
	}
	response.Body.Close()
	return response.StatusCode, nil
}

// inClear returns the first line that a port sends without TLS.
func inClear(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return ""
	}
	line, _ := bufio.NewReader(conn).ReadString('\n')
	if !strings.HasPrefix(line, "HTTP/") {
		return "" // nothing, or TLS's alert
	}
	return line
}

// listeners returns the TCP addresses that a process listens on (proc_pid_net(5)).
func listeners(t *testing.T, pid int) []netip.AddrPort {
	t.Helper()
	inodes := map[string]bool{}
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptors {
		if target, err := os.Readlink(d); err == nil {
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				inodes[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	var found []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != "0A" || !inodes[fields[9]] {
				continue
			}
			found = append(found, parseAddress(t, fields[1]))
		}
	}
	return found
}

// parseAddress reads ADDRESS:PORT in hexadecimal, the address in words of the
// machine's byte order, which is little-endian wherever this runs.
func parseAddress(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		t.Fatalf("no address: %q", text)
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(number))
}
