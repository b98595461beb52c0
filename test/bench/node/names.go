package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/test/bench/process"
)

const (
	// askers is the number of clients, each of which sends one query after another.
	askers = 8
	// askLimit bounds one query, answerLimit the time until a server first answers.
	askLimit    = 2 * time.Second
	answerLimit = time.Minute
	// question is a name in every cluster.
	question   = "kubernetes.default.svc.cluster.local."
	coreDNS    = "coredns"
	coreDNSTag = "skiff.test/coredns:1"
)

// load is the result of a cluster DNS under load.
type load struct {
	took    []time.Duration // of each query
	seconds float64
}

func (l load) perSecond() float64 { return float64(len(l.took)) / max(l.seconds, 1e-9) }

// names queries each node's cluster DNS from the node, at the service's address.
// Upstream's is a pod like kubeadm's, on the measured node.
func (b *bench) names(ctx context.Context) error {
	address, err := b.runCoreDNS(ctx, b.sides[1].node)
	if err != nil {
		return fmt.Errorf("run CoreDNS: %w", err)
	}
	own, err := b.api.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, "kube-dns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	addresses := map[*side]string{b.sides[0]: own.Spec.ClusterIP, b.sides[1]: address}
	for _, s := range b.sides {
		if err := b.answering(ctx, s, addresses[s]); err != nil {
			return err
		}
	}
	if err := pause(ctx, b.settle/4); err != nil {
		return err
	}
	for _, s := range b.sides {
		if err := b.memoryWithDNS(s); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		for _, s := range b.turns(round) {
			if err := b.ask(ctx, s, addresses[s]); err != nil {
				return err
			}
			if err := pause(ctx, time.Second); err != nil {
				return err
			}
		}
	}
	return nil
}

// memoryWithDNS includes the process of a cluster DNS that runs in a pod.
func (b *bench) memoryWithDNS(s *side) error {
	totals, err := b.totals(s)
	if err != nil {
		return err
	}
	s.withDNS = 0
	for _, program := range totals {
		s.withDNS += program.Memory.RSS
	}
	if s == b.sides[0] {
		return nil // it is part of the agent
	}
	pid, err := b.cluster.inPod(s.node, coreDNS)
	if err != nil {
		return err
	}
	memory, err := process.Memory(pid)
	s.withDNS += memory.RSS
	return err
}

// answering waits until a server answers.
func (b *bench) answering(ctx context.Context, s *side, server string) error {
	for deadline := time.Now().Add(answerLimit); ; {
		err := b.cluster.inside(s.node, func() error { return askOnce(server) })
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			log, _ := b.cluster.shell(context.Background(), s.node, "tail -n 5 /var/log/pods/kube-system_coredns*/*/*.log")
			return fmt.Errorf("DNS of %s: %w\n%s", s.name, err, log)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func askOnce(server string) error {
	conn, err := net.Dial("udp", net.JoinHostPort(server, "53"))
	if err != nil {
		return err
	}
	c := &dns.Conn{Conn: conn}
	defer func() { _ = c.Close() }()
	_, err = exchange(c)
	return err
}

// exchange sends a query and returns how long the answer took.
func exchange(c *dns.Conn) (time.Duration, error) {
	begun := time.Now()
	if err := c.SetDeadline(begun.Add(askLimit)); err != nil {
		return 0, err
	}
	asked := new(dns.Msg).SetQuestion(question, dns.TypeA)
	if err := c.WriteMsg(asked); err != nil {
		return 0, err
	}
	answer, err := c.ReadMsg()
	switch {
	case err != nil:
		return 0, err
	case answer.Id != asked.Id || answer.Rcode != dns.RcodeSuccess || len(answer.Answer) == 0:
		return 0, fmt.Errorf("the answer is %s", dns.RcodeToString[answer.Rcode])
	}
	return time.Since(begun), nil
}

// ask keeps a server busy for a round. A query without an answer is an error.
func (b *bench) ask(ctx context.Context, s *side, server string) error {
	conns := make([]*dns.Conn, askers)
	err := b.cluster.inside(s.node, func() error {
		for i := range conns {
			conn, err := net.Dial("udp", net.JoinHostPort(server, "53"))
			if err != nil {
				return err
			}
			conns[i] = &dns.Conn{Conn: conn}
		}
		return nil
	})
	if err != nil {
		return err
	}
	took, failed := make([][]time.Duration, askers), make([]error, askers)
	begun := time.Now()
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			defer func() { _ = conn.Close() }()
			for time.Since(begun) < b.load && ctx.Err() == nil && failed[i] == nil {
				var one time.Duration
				one, failed[i] = exchange(conn)
				took[i] = append(took[i], one)
			}
		})
	}
	all.Wait()
	s.dns.seconds += time.Since(begun).Seconds()
	for _, some := range took {
		s.dns.took = append(s.dns.took, some...)
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("query the DNS of %s: %w", s.name, err)
	}
	return ctx.Err()
}

// corefile is kubeadm's configuration.
const corefile = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`

// runCoreDNS starts upstream's cluster DNS on a node and returns its service's
// address.
func (b *bench) runCoreDNS(ctx context.Context, node string) (string, error) {
	if err := b.loadCoreDNS(ctx, node); err != nil {
		return "", err
	}
	meta := metav1.ObjectMeta{Name: coreDNS, Namespace: metav1.NamespaceSystem, Labels: map[string]string{"bench": coreDNS}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"endpoints", "services", "pods", "namespaces"}, Verbs: []string{"list", "watch"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: role.ObjectMeta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: coreDNS, Namespace: metav1.NamespaceSystem}},
	}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: meta.Labels, Ports: []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}},
	}}
	core, rbac := b.api.CoreV1(), b.api.RbacV1()
	_, err := rbac.ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
	if err == nil {
		_, err = rbac.ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = core.ServiceAccounts(meta.Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = core.ConfigMaps(meta.Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"Corefile": corefile}}, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = core.Pods(meta.Namespace).Create(ctx, coreDNSPod(meta, node), metav1.CreateOptions{})
	}
	if err != nil {
		return "", err
	}
	made, err := core.Services(meta.Namespace).Create(ctx, service, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return made.Spec.ClusterIP, nil
}

func coreDNSPod(meta metav1.ObjectMeta, node string) *corev1.Pod {
	config := corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: coreDNS}}
	return &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{corev1.LabelHostname: node}, ServiceAccountName: coreDNS, DNSPolicy: corev1.DNSDefault,
		Containers: []corev1.Container{{
			Name: coreDNS, Image: coreDNSTag, ImagePullPolicy: corev1.PullNever, Args: []string{"-conf", "/etc/coredns/Corefile"},
			VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns", ReadOnly: true}},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
				Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}, Drop: []corev1.Capability{"ALL"}},
			},
		}},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &config}}},
	}}
}

// loadCoreDNS builds an image of the program and loads it onto the node.
func (b *bench) loadCoreDNS(ctx context.Context, node string) error {
	program, err := os.ReadFile(filepath.Join(b.peers, coreDNS))
	if err != nil {
		return err
	}
	layer, err := oci.Layer([]oci.File{{Path: coreDNS, Mode: 0o755, Data: program}})
	if err != nil {
		return err
	}
	var content bytes.Buffer
	err = oci.Write(&content, oci.Image{
		Name: coreDNSTag, Arch: runtime.GOARCH, Layers: [][]byte{layer},
		Config: v1.ImageConfig{Entrypoint: []string{"/" + coreDNS}, WorkingDir: "/"},
	})
	if err != nil {
		return err
	}
	return b.cluster.skiff(ctx, &content, "image", "load", "-", "--node", node, "--cluster", clusterName)
}
