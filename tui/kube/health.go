package kube

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

const healthInterval = 3 * time.Second

// health tells how the control plane is.
func (c *Client) health(ctx context.Context, emit func(any)) {
	last := feed.ControlPlaneStatus{Cluster: c.name}
	var requests counter
	every(ctx, healthInterval, func(ctx context.Context) {
		begun := time.Now()
		text, err := c.raw.Get().AbsPath("/readyz").Param("verbose", "true").MaxRetries(0).DoRaw(ctx)
		if len(text) == 0 && err != nil {
			last.Freshness = freshness(err, last.At)
			emit(last)
			return
		}
		next := feed.ControlPlaneStatus{Cluster: c.name, Latency: time.Since(begun), Checks: checks(string(text))}
		next.Freshness = object.Freshness{State: object.Live, At: time.Now()}
		if v, err := c.typed.Discovery().ServerVersion(); err == nil {
			next.Version = v.GitVersion
		}
		next.Leases = c.leases(ctx)
		next.Members = c.members(ctx, next.Leases)
		next.Certs = c.certificates(ctx)
		if metrics, err := c.raw.Get().AbsPath("/metrics").MaxRetries(0).DoRaw(ctx); err == nil {
			readMetrics(metrics, &next, &requests)
		}
		emit(next)
		last = next
	})
}

// checks reads the lines "[+]etcd ok" and "[-]etcd failed: reason withheld".
func checks(text string) []feed.Check {
	var found []feed.Check
	for _, l := range strings.Split(text, "\n") {
		if len(l) < 4 || l[0] != '[' || l[2] != ']' {
			continue
		}
		name, state, _ := strings.Cut(l[3:], " ")
		found = append(found, feed.Check{Name: line(name), OK: l[1] == '+', Text: line(state)})
	}
	return found
}

func (c *Client) leases(ctx context.Context) []feed.Lease {
	list, err := c.typed.CoordinationV1().Leases("kube-system").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil
	}
	var found []feed.Lease
	for _, l := range list.Items {
		if l.Spec.HolderIdentity == nil || strings.HasPrefix(l.Name, "apiserver-") {
			continue
		}
		lease := feed.Lease{Name: l.Name, Holder: line(*l.Spec.HolderIdentity)}
		if l.Spec.RenewTime != nil {
			lease.Renewed = l.Spec.RenewTime.Time
		}
		found = append(found, lease)
	}
	return found
}

// certificates are those that a client sees: the server's chain and its own.
func (c *Client) certificates(ctx context.Context) []feed.Certificate {
	var found []feed.Certificate
	note := func(name string, cert *x509.Certificate) {
		found = append(found, feed.Certificate{Name: name, Subject: line(cert.Subject.String()), Expires: cert.NotAfter})
	}
	if config, err := rest.TLSConfigFor(c.config); err == nil && config != nil {
		host := strings.TrimPrefix(c.config.Host, "https://")
		conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", host)
		if err == nil {
			for i, cert := range conn.(*tls.Conn).ConnectionState().PeerCertificates {
				note([]string{"API server", "API server CA", "parent CA"}[min(i, 2)], cert)
			}
			_ = conn.Close()
		}
	}
	for name, content := range map[string][]byte{
		"client": firstOf(c.config.CertData, c.config.CertFile), "trusted CA": firstOf(c.config.CAData, c.config.CAFile),
	} {
		for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				note(name, cert)
			}
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].Expires.Before(found[j].Expires) })
	return found
}

func firstOf(data []byte, path string) []byte {
	if len(data) > 0 || path == "" {
		return data
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return content
}

// counter makes a rate of a growing number.
type counter struct {
	value float64
	at    time.Time
}

func (k *counter) rate(value float64, now time.Time) float64 {
	before := *k
	k.value, k.at = value, now
	if before.at.IsZero() || value < before.value {
		return 0
	}
	return (value - before.value) / max(now.Sub(before.at).Seconds(), 0.1)
}

// readMetrics takes the few figures that the screen shows.
func readMetrics(content []byte, into *feed.ControlPlaneStatus, requests *counter) {
	var total float64
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := metric(lines.Text())
		if !ok {
			continue
		}
		switch name {
		case "apiserver_request_total":
			total += value
		case "apiserver_current_inflight_requests":
			into.InFlight += int64(value)
		case "apiserver_storage_size_bytes", "etcd_mvcc_db_total_size_in_bytes":
			into.EtcdBytes = max(into.EtcdBytes, int64(value))
		case "apiserver_resource_objects", "apiserver_storage_objects":
			into.EtcdObjects += max(0, int64(value))
		}
	}
	into.RequestsPerS = requests.rate(total, time.Now())
}

// metric reads one sample of the text format, without its labels.
func metric(text string) (name string, value float64, ok bool) {
	if text == "" || text[0] == '#' {
		return "", 0, false
	}
	end := strings.IndexAny(text, "{ ")
	space := strings.LastIndexByte(text, ' ')
	if end < 0 || space < end {
		return "", 0, false
	}
	value, err := strconv.ParseFloat(text[space+1:], 64)
	return text[:end], value, err == nil
}
