package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/driver/fake"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// pipes is a listener whose connections never leave the process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// openHung returns a running cluster of two workers. The API of the first serves;
// the API of the second completes the handshake and never answers.
func openHung(t *testing.T, dir home.Cluster, creds *credentials.Store) *Fleet {
	t.Helper()
	spec := cluster.Default()
	spec.ControlPlanes = 0
	driver := &fake.Driver{}
	f := prepared(t, dir, creds, spec, driver)
	listeners := map[string]pipes{}
	for _, n := range cluster.Nodes(spec, nil) {
		m := machine.Machine{Name: n.Name}
		if err := errors.Join(driver.Create(t.Context(), m), driver.Start(t.Context(), m)); err != nil {
			t.Fatal(err)
		}
		listeners[n.Address.Addr().String()] = serveNode(t, f, n, n.Name == "worker-2")
	}
	f.machines.reach = func(_ context.Context, _, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		near, far := net.Pipe()
		listeners[host] <- far
		return near, nil
	}
	f.nodes = newNodes(f.core)
	t.Cleanup(f.nodes.pool.CloseIdleConnections)
	f.renewals = newRenewals(f.core)
	return f
}

// serveNode serves a node API on pipes.
func serveNode(t *testing.T, f *Fleet, n cluster.Node, hangs bool) pipes {
	t.Helper()
	document, err := f.documents.node(n, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(document.Files["node-api.crt"], document.Files["node-api.key"])
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(document.Files["host-ca.crt"])
	listener, ended := make(pipes, 10), make(chan struct{})
	server := &http.Server{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if hangs {
				<-ended
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}),
	}
	go func() {
		_ = server.Serve(tls.NewListener(listener, &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		}))
	}()
	t.Cleanup(func() {
		close(listener)
		close(ended)
		_ = server.Close()
	})
	return listener
}

func TestANodeThatNeverAnswersBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := home.Home(t.TempDir()).Cluster("demo")
		creds, err := credentials.OpenStore(filepath.Join(t.TempDir(), "pki"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		f := openHung(t, dir, creds)
		began := time.Now()
		type result struct {
			node string
			took time.Duration
			err  error
		}
		results := make(chan result, 2)
		for _, n := range []cluster.Node{f.state.desired()[1], f.state.desired()[0]} { // the one that hangs first
			go func() {
				err := f.renewals.handOut(t.Context(), n, time.Now(), func(string) bool { return true })
				results <- result{n.Name, time.Since(began), err}
			}()
			synctest.Wait()
		}
		if first := <-results; first.node != "worker-1" || first.err != nil || first.took > time.Second {
			t.Errorf("the other node got its files after %s: %+v", first.took, first)
		}
		if second := <-results; second.err == nil || second.took > time.Minute {
			t.Errorf("the node that hangs: %+v", second)
		}
		// Neither the host's certificates nor the encryption keys wait for a node.
		if err := f.credentials.Renew(time.Now()); err != nil {
			t.Error(err)
		}
	})
}

func TestAStopCutsOffANodeThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := home.Home(t.TempDir()).Cluster("demo")
		creds, err := credentials.OpenStore(filepath.Join(t.TempDir(), "pki"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		f := openHung(t, dir, creds)
		f.limits.PowerOff = time.Minute
		go func() {
			time.Sleep(15 * time.Second)
			f.machines.driver.(*fake.Driver).End("worker-1", "")
		}()
		began := time.Now()
		cutOff := f.PowerOff(t.Context(), operation.New(operation.KindStop, nil))
		if got := strings.Join(cutOff, " "); got != "worker-2" {
			t.Errorf("cut off %q", got)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}
