package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/tunnel"
)

// testConnect checks that the host reaches everything by its own address once it is
// connected, also after the daemon has been stopped, and nothing after disconnect. It
// leaves the host connected, for the test of down.
func testConnect(t *testing.T, r *rig, cluster string, k *kube) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		a := r.trySkiff(t, "network", "connect", cluster)
		equal(t, "exit code without root or Linux", a.code, 2)
		return
	}
	device := tunnel.Name(home.Home(r.home).Cluster(cluster))
	k.apply(t, "host-service.yaml")
	k.rollout(t, "deployment/web")
	contains(t, "connect", r.skiff(t, "network", "connect", cluster), device, "10.244.0.0/16", "10.96.0.0/16", "192.168.104.0/24")
	contains(t, "connect again", r.skiff(t, "network", "connect", cluster), device)
	contains(t, "services", r.skiff(t, "services", cluster), device)
	contains(t, "status", r.skiff(t, "status", cluster), device)
	reachesEverything(t, r, k)
	for _, to := range []string{"192.168.104.2:53", "192.168.104.2:80", "10.96.0.77:80"} {
		if conn, err := net.DialTimeout("tcp", to, 5*time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("the host is connected to %s", to)
		}
	}
	if conn, err := net.DialTimeout("tcp", k.workers[0].address+":1", 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port where nobody listens: %v, %v", conn, err)
	}

	r.skiff(t, "stop", cluster)
	a := r.trySkiff(t, "network", "connect", cluster)
	equal(t, "exit code of connect to a stopped cluster", a.code, 1)
	contains(t, "connect to a stopped cluster", a.stderr, "not running", "skiff up "+cluster)
	r.skiff(t, "up", cluster)
	k.rollout(t, "deployment/web")
	reachesEverything(t, r, k)

	contains(t, "disconnect", r.skiff(t, "network", "disconnect", cluster), "Disconnected")
	contains(t, "disconnect again", r.skiff(t, "network", "disconnect", cluster), "not connected")
	if routes, err := tunnel.Routes(); err != nil || tunnel.Exists(device) || slices.ContainsFunc(routes, func(r tunnel.Route) bool { return r.Device == device }) {
		t.Errorf("left after disconnect: %v, %v", routes, err)
	}
	r.skiff(t, "network", "connect", cluster)
	k.kubectl(t, "delete", "service", "web", "web-local")
}

// answersAs returns an error unless the pod answers at its own address.
func answersAs(p pod) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + p.ip + ":8080/hostname")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); err != nil || strings.TrimSpace(string(body)) != p.name {
		return fmt.Errorf("%s answers at the address of %s, %w", body, p.name, err)
	}
	return nil
}

// pinged returns an error unless an address answers an echo request (ICMP).
func pinged(to string) error {
	conn, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	request := icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: bytes.Repeat([]byte("x"), 3000)}
	packet, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &request}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(packet, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	received := make([]byte, 1<<16)
	for { // the socket gets every message of ICMP
		n, from, err := conn.ReadFrom(received)
		if err != nil {
			return err
		}
		message, err := icmp.ParseMessage(int(ipv4.ICMPTypeEcho.Protocol()), received[:n])
		if err != nil || from.String() != to || message.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if reply, ok := message.Body.(*icmp.Echo); !ok || reply.ID != request.ID || !bytes.Equal(reply.Data, request.Data) {
			return fmt.Errorf("%s answers with %+v", to, message.Body)
		}
		return nil
	}
}

// reachesEverything checks the ways to the servers of host-service.yaml.
func reachesEverything(t *testing.T, r *rig, k *kube) {
	t.Helper()
	var servers []pod
	// After a restart, pods get their addresses again, and are Ready before that.
	eventually(t, waitLimit, "pods answer at their own addresses", func() error {
		servers = k.pods(t, "app=web")
		for _, p := range servers {
			if err := answersAs(p); err != nil {
				return err
			}
		}
		return nil
	})
	for _, to := range append([]string{k.workers[0].address}, servers[0].ip, servers[1].ip) {
		eventually(t, waitLimit, to+" answers a ping", func() error { return pinged(to) })
	}
	service := k.get(t, "service/web", ".spec.clusterIP")
	r.answers(t, service+":28080", servers)
	balancer := k.get(t, "service/web", ".status.loadBalancer.ingress[0].ip")
	r.answers(t, balancer+":28080", servers)
	eventually(t, waitLimit, "an echo over UDP", func() error { return echoUDP(balancer + ":28081") })
	node := k.workers[0].address + ":10250"
	if conn, err := net.DialTimeout("tcp", node, 5*time.Second); err != nil {
		t.Errorf("the node: %v", err)
	} else {
		_ = conn.Close()
	}
	name := "web." + k.namespace + ".svc.cluster.local"
	for _, network := range []string{"udp", "tcp"} {
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "10.96.0.10:53")
		}}
		eventually(t, waitLimit, "cluster DNS answers over "+network, func() error {
			if found, err := resolver.LookupHost(t.Context(), name+"."); err != nil || !slices.Contains(found, service) {
				return fmt.Errorf("%v, %w", found, err)
			}
			return nil
		})
	}
}
