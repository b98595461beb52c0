package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/controlplane/server/servertest"
)

// shown returns the certificate that a port of the control plane presents to a new
// connection.
func (c *cluster) shown(port int) (*x509.Certificate, error) {
	address := netip.AddrPortFrom(c.settings.Node.Network.Address.Addr(), uint16(port)).String()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // only looks
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// renew gives a running control plane new certificates, signed by dir's authorities,
// and waits until each port presents its own.
func (c *cluster) renew(t *testing.T, dir string) {
	t.Helper()
	before := map[int]*x509.Certificate{}
	for _, port := range []int{c.settings.Port, c.settings.EtcdClientPort, c.settings.EtcdPeerPort} {
		certificate, err := c.shown(port)
		if err != nil {
			t.Fatal(err)
		}
		before[port] = certificate
	}
	if err := servertest.Renew(dir, c.dir, c.settings.Node, time.Now()); err != nil {
		t.Fatal(err)
	}
	for port, old := range before {
		c.eventually(t, fmt.Sprintf("another certificate at port %d", port), func(context.Context) error {
			certificate, err := c.shown(port)
			if err == nil && (certificate.SerialNumber.Cmp(old.SerialNumber) == 0 || time.Now().After(certificate.NotAfter)) {
				err = fmt.Errorf("the old one, valid until %s", certificate.NotAfter)
			}
			return err
		})
	}
}

// TestControlPlaneThatSleptForTwoYears starts a control plane with certificates that
// expired a year ago, and renews them while it runs.
func TestControlPlaneThatSleptForTwoYears(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	node, err := servertest.WriteAt(dir, now.AddDate(-2, 0, 0), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: dir, life: t}
	c.launch(t, node, freePorts(t, 3), dir)
	var expired x509.CertificateInvalidError
	c.eventually(t, "a certificate that ran out", func(ctx context.Context) error {
		if err := c.serves(ctx); !errors.As(err, &expired) {
			return fmt.Errorf("the API answers with %w", err)
		}
		return nil
	})
	pid := c.process.Process.Pid
	c.renew(t, dir)
	if err := servertest.RenewAdmin(dir, now); err != nil {
		t.Fatal(err)
	}
	c.connect(t, dir)
	c.awaitReady(t)
	c.works(t, "slept")
	if c.process.Process.Pid != pid {
		t.Error("another process")
	}
	if err := c.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

// works checks that a controller acts on a write and that every member answers.
func (c *cluster) works(t *testing.T, name string) {
	t.Helper()
	if _, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "controllers work", func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	members, err := c.settings.Etcd().MemberStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Error != "" {
			t.Errorf("member %s: %s", m.Name, m.Error)
		}
	}
}

func (c *cluster) renewed(t *testing.T) {
	c.renew(t, c.dir)
	c.works(t, "renewed")
}

// renewed gives all three control planes new certificates during writes, and makes
// one reconnect to the others.
func (f *fleet) renewed(t *testing.T) {
	w := f.writer(t, 0, 1, 2)
	began := time.Now()
	for _, c := range f.all {
		c.renew(t, f.dir)
	}
	t.Logf("all renewed after %s", time.Since(began).Round(time.Millisecond))
	time.Sleep(time.Second)
	w.end(t, "renewing certificates")
	f.kill(1)
	f.launch(t, 1)
	f.ready(t, 1)
	f.voters(t, 1, 3)
	f.all[1].works(t, "renewed")
}
