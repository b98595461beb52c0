package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// authority signs the certificates of a test node and its host.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate, a.key = sign(t, template, nil)
	return a
}

// sign makes a certificate, self-signed without an authority.
func sign(t *testing.T, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := template, key
	if by != nil {
		parent, parentKey = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// pair is a certificate for a name and address, as PEM.
func (a *authority) pair(t *testing.T, name string, ip net.IP) (certificate, key []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{ip},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signed, private := sign(t, template, a)
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// node is one machine under QEMU's emulation.
type node struct {
	t       *testing.T
	dir     string
	image   string
	port    int
	client  *tls.Config
	qemu    *exec.Cmd
	ended   chan struct{}
	started time.Time
}

const (
	guestAddress = "10.0.2.15"
	hostName     = "control-plane-1"
	mac          = "52:54:00:12:34:56"
)

func newNode(t *testing.T, image string) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), image: image, port: int(runtest.FreePort(t))}
	cluster, host := newAuthority(t), newAuthority(t)
	serverCert, serverKey := cluster.pair(t, hostName, net.ParseIP(guestAddress))
	clientCert, clientKey := host.pair(t, "skiff-host", net.IPv4zero)
	pair, err := tls.X509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cluster.certificate)
	n.client = &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: hostName, MinVersion: tls.VersionTLS13}
	address := netip.MustParseAddr(guestAddress)
	document := nodeconfig.Node{
		APIVersion: nodeconfig.APIVersion, Cluster: "test", Name: hostName, Role: nodeconfig.RoleControlPlane,
		Network: nodeconfig.Network{
			MAC: mac, Address: netip.MustParsePrefix(guestAddress + "/24"), Gateway: netip.MustParseAddr("10.0.2.2"),
			Nameservers: []netip.Addr{netip.MustParseAddr("10.0.2.3")}, MTU: 1500,
			Hosts: []nodeconfig.Peer{{Name: hostName, Address: address}},
		},
		Kubernetes:    nodeconfig.Kubernetes{PodCIDR: netip.MustParsePrefix("10.244.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), DNSAddress: netip.MustParseAddr("10.96.0.10"), DNSDomain: "cluster.local"},
		ControlPlanes: []nodeconfig.Peer{{Name: hostName, Address: address}},
		Etcd:          &nodeconfig.Etcd{Members: []nodeconfig.Peer{{Name: hostName, Address: address}}},
		Files: map[string][]byte{
			"ca.crt": cluster.pem(), "host-ca.crt": host.pem(), "node-api.crt": serverCert, "node-api.key": serverKey,
		},
		Written: time.Now(),
	}
	seed, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	seed = append(seed, bytes.Repeat([]byte("\n"), 2048-len(seed)%2048)...)
	if err := os.WriteFile(filepath.Join(n.dir, "seed"), seed, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", filepath.Join(n.dir, "data"), "20G").CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	return n
}

// start boots the machine; its serial console goes to the test's log.
func (n *node) start() {
	n.t.Helper()
	image, err := manifest.Read(n.image)
	if err != nil {
		n.t.Fatal(err)
	}
	n.qemu = exec.Command("qemu-system-x86_64", "-machine", "q35,vmport=off", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024", "-smp", "2",
		"-kernel", filepath.Join(n.image, manifest.Kernel), "-initrd", filepath.Join(n.image, manifest.Initramfs),
		"-append", image.Cmdline+" mitigations=off "+os.Getenv("SKIFF_VM_CMDLINE"),
		"-drive", "if=virtio,format=raw,readonly=on,file="+filepath.Join(n.image, manifest.Root),
		"-drive", "if=virtio,format=qcow2,discard=unmap,file="+filepath.Join(n.dir, "data"),
		"-device", "virtio-scsi-pci,id=scsi0", "-drive", "id=seed,if=none,format=raw,readonly=on,file="+filepath.Join(n.dir, "seed"),
		"-device", "scsi-cd,bus=scsi0.0,drive=seed",
		"-netdev", fmt.Sprintf("user,id=net0,hostfwd=tcp:127.0.0.1:%d-%s:%d", n.port, guestAddress, nodeconfig.PortNodeAPI),
		"-device", "virtio-net-pci,netdev=net0,mac="+mac,
		"-device", "virtio-rng-pci", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none")
	serial, err := n.qemu.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	n.qemu.Stderr = os.Stderr
	n.started, n.ended = time.Now(), make(chan struct{})
	if err := n.qemu.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(serial)
		for lines.Scan() {
			fmt.Printf("    %5.2f serial: %s\n", time.Since(n.started).Seconds(), lines.Text())
		}
		_ = n.qemu.Wait()
		close(n.ended)
	}()
	n.t.Cleanup(func() {
		_ = n.qemu.Process.Kill()
		<-n.ended
	})
}

func (n *node) dial(ctx context.Context) (net.Conn, error) {
	return (&tls.Dialer{Config: n.client}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", n.port))
}

func (n *node) http() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialTLSContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dial(ctx) },
		DisableKeepAlives: true,
	}, Timeout: 2 * time.Second}
}

func (n *node) get(path string) (string, error) {
	response, err := n.http().Get("https://node" + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return string(text), err
}

// answers waits until the node API answers.
func (n *node) answers() {
	n.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-n.ended:
			n.t.Fatal("the machine ended")
		default:
		}
		if text, err := n.get(nodeapi.PathStatus); err == nil {
			fmt.Printf("    %5.2f status: %s\n", time.Since(n.started).Seconds(), text)
			return
		} else if time.Now().After(deadline) {
			n.t.Fatal(err)
		}
	}
}

// exec runs a program in the node and returns what it printed and its exit code.
func (n *node) exec(stdin io.Reader, request nodeapi.ExecRequest) (string, int) {
	n.t.Helper()
	conn, err := n.dial(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	body, err := json.Marshal(request)
	if err != nil {
		n.t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n\r\n%s", nodeapi.PathExec, nodeapi.UpgradeExec, len(body), body)
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		n.t.Fatalf("exec %v: %v %v", request.Args, response, err)
	}
	out := nodeapi.NewWriter(conn)
	go func() {
		if stdin != nil {
			_, _ = io.Copy(out.Stream(nodeapi.Stdin), stdin)
		}
		_ = out.Write(nodeapi.StdinClose, nil)
	}()
	var printed bytes.Buffer
	for {
		stream, payload, err := nodeapi.ReadFrame(in)
		if err != nil {
			n.t.Fatalf("exec %v: %v after %q", request.Args, err, printed.String())
		}
		switch stream {
		case nodeapi.Exit:
			return printed.String(), int(int32(binary.BigEndian.Uint32(payload)))
		case nodeapi.Failure:
			return string(payload), -1
		default:
			printed.Write(payload)
		}
	}
}

// run runs a program that must succeed.
func (n *node) run(args ...string) string {
	n.t.Helper()
	began := time.Now()
	out, code := n.exec(nil, nodeapi.ExecRequest{Args: args})
	fmt.Printf("    %5.2f exec %v (%.2fs): exit code %d\n%s\n", time.Since(n.started).Seconds(), args, time.Since(began).Seconds(), code, out)
	if code != 0 {
		n.t.Errorf("%v: exit code %d: %s", args, code, out)
	}
	return out
}

// end powers the machine off and waits for its process.
func (n *node) end(action string) {
	n.t.Helper()
	response, err := n.http().Post("https://node"+nodeapi.PathPower, "application/json", strings.NewReader(`{"action":"`+action+`"}`))
	if err != nil {
		n.t.Fatal(err)
	}
	response.Body.Close()
	began := time.Now()
	select {
	case <-n.ended:
		fmt.Printf("    %s took %.2fs\n", action, time.Since(began).Seconds())
	case <-time.After(time.Minute):
		n.t.Fatal("the machine did not end")
	}
}

// TestNodeBootsServesAndKeepsItsDisk boots the image named by SKIFF_VM_IMAGE
// twice under emulation.
func TestNodeBootsServesAndKeepsItsDisk(t *testing.T) {
	image := os.Getenv("SKIFF_VM_IMAGE")
	if image == "" {
		t.Skip("SKIFF_VM_IMAGE names no image directory")
	}
	n := newNode(t, image)
	n.start()
	n.answers()
	n.run("sh", "-c", "until ctr version; do sleep 0.5; done; dmesg | tail -50")
	n.run("sh", "-c", "cat /var/log/skiff/init.log; mount; lsmod; free -m; ps")
	for _, args := range [][]string{
		{"runc", "--version"}, {"nft", "list", "ruleset"}, {"nerdctl", "version"}, {"ip", "addr"}, {"ip", "route"}, {"df", "-h"},
	} {
		n.run(args...)
	}
	n.run("sh", "-c", "until ctr -n k8s.io images ls -q | grep pause; do sleep 0.2; done")
	n.run("sh", "-c", "ctr -n k8s.io run -d --snapshotter overlayfs registry.k8s.io/pause:3.10.2 p1 && ctr -n k8s.io task ls")
	n.run("sh", "-c", "echo kept > /mnt/file && sync")
	n.end(nodeapi.PowerActionOff)

	n.start()
	n.answers()
	if text := n.run("cat", "/mnt/file"); text != "kept\n" {
		t.Errorf("the disk has %q", text)
	}
	n.run("dmesg")
	n.end(nodeapi.PowerActionRestart)
}
