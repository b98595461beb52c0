package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/internal/names"
)

// The worker whose certificates the test has, and another one.
const ownNode, otherNode = "worker-7", "worker-8"

// workerRights uses every certificate of a worker for what it may do, and against
// another worker.
func (c *cluster) workerRights(t *testing.T) {
	as := c.workerClients(t)
	c.stageNodes(t)
	ctx := t.Context()
	c.eventually(t, "the kubelet reads its pod's secret", func(ctx context.Context) error {
		_, err := as["kubelet"].CoreV1().Secrets("default").Get(ctx, "of-"+ownNode, metav1.GetOptions{})
		return err
	})
	dns := as["dns"].DiscoveryV1().EndpointSlices("kube-system")
	if _, err := dns.Create(ctx, dnsSlice("kube-dns-"+ownNode), metav1.CreateOptions{}); err != nil {
		t.Errorf("the DNS server cannot publish itself: %v", err)
	}
	label := []byte(`{"metadata":{"labels":{"skiff.dev/role":"control-plane"}}}`)
	for what, attack := range map[string]func() error{
		"the kubelet reads another node's secret": func() error {
			_, err := as["kubelet"].CoreV1().Secrets("default").Get(ctx, "of-"+otherNode, metav1.GetOptions{})
			return err
		},
		"the kubelet takes a role": func() error {
			_, err := as["kubelet"].CoreV1().Nodes().Patch(ctx, ownNode, types.MergePatchType, label, metav1.PatchOptions{})
			return err
		},
		"the DNS server replaces another's": func() error {
			_, err := dns.Update(ctx, dnsSlice("kube-dns-"+otherNode), metav1.UpdateOptions{})
			return err
		},
		"the DNS server deletes another's": func() error { return dns.Delete(ctx, "kube-dns-"+otherNode, metav1.DeleteOptions{}) },
		"the DNS server publishes another service": func() error {
			_, err := dns.Create(ctx, dnsSlice("intruder"), metav1.CreateOptions{})
			return err
		},
		"the node agent releases another node's volume": func() error {
			v, err := as["volumes"].CoreV1().PersistentVolumes().Get(ctx, "of-"+otherNode, metav1.GetOptions{})
			if err != nil {
				return err
			}
			v.Finalizers = nil
			_, err = as["volumes"].CoreV1().PersistentVolumes().Update(ctx, v, metav1.UpdateOptions{})
			return err
		},
	} {
		if err := attack(); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	c.certificates(t, as["kubelet"])
}

// workerClients returns a client for each certificate of the worker.
func (c *cluster) workerClients(t *testing.T) map[string]*kubernetes.Clientset {
	t.Helper()
	authorities, err := servertest.Authorities(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := pki.Worker(authorities, pki.Node{Cluster: servertest.Cluster, Name: ownNode, Address: netip.MustParseAddr("127.0.0.7")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]*kubernetes.Clientset{}
	for _, name := range []string{"kubelet", "dns", "volumes"} {
		clients[name], err = kubernetes.NewForConfig(&rest.Config{Host: c.admin.Host, TLSClientConfig: rest.TLSClientConfig{
			CAData: files["ca.crt"], CertData: files[name+".crt"], KeyData: files[name+".key"],
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return clients
}

// stageNodes creates for both nodes a pod with a secret, a DNS endpoint slice for the
// other node, and a volume on it.
func (c *cluster) stageNodes(t *testing.T) {
	t.Helper()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range []string{ownNode, otherNode} {
		c.node(t, node, nil)
		meta := metav1.ObjectMeta{Name: "of-" + node}
		must(c.client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: meta}, metav1.CreateOptions{}))
		must(c.client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
			NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "x"}},
			Volumes: []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: meta.Name}}}},
		}}, metav1.CreateOptions{}))
	}
	must(c.client.DiscoveryV1().EndpointSlices("kube-system").Create(t.Context(), dnsSlice("kube-dns-"+otherNode), metav1.CreateOptions{}))
	must(c.client.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "of-" + otherNode, Finalizers: []string{names.LocalVolumeFinalizer}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/v"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{otherNode}}},
			}}}},
		},
	}, metav1.CreateOptions{}))
}

// dnsSlice returns a slice of the DNS service without endpoints, which must not be on
// loopback.
func dnsSlice(name string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "kube-system", Labels: map[string]string{discoveryv1.LabelServiceName: names.DNSService}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{},
	}
}

// certificates requests certificates as the worker's kubelet: for another node, which
// NodeRestriction refuses, and for its own, which only the host makes.
func (c *cluster) certificates(t *testing.T, kubelet kubernetes.Interface) {
	t.Helper()
	signers := map[string]certificatesv1.KeyUsage{
		certificatesv1.KubeAPIServerClientKubeletSignerName: certificatesv1.UsageClientAuth,
		certificatesv1.KubeletServingSignerName:             certificatesv1.UsageServerAuth,
	}
	for signer, usage := range signers {
		if err := requestCertificate(t, kubelet, otherNode, signer, usage); usage == certificatesv1.UsageClientAuth && !apierrors.IsForbidden(err) {
			t.Errorf("the kubelet requests another node's certificate: %v", err)
		}
		if err := requestCertificate(t, kubelet, ownNode, signer, usage); err != nil {
			t.Fatal(err)
		}
	}
	// A request that is approved and signed takes less than a second.
	time.Sleep(3 * time.Second)
	requests, err := c.client.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(requests.Items) < len(signers) {
		t.Errorf("%d requests, want at least %d", len(requests.Items), len(signers))
	}
	for _, r := range requests.Items {
		if len(r.Status.Certificate) > 0 || len(r.Status.Conditions) > 0 {
			t.Errorf("the kubelet's request %s has conditions %v", r.Name, r.Status.Conditions)
		}
	}
}

func requestCertificate(t *testing.T, kubelet kubernetes.Interface, node, signer string, usage certificatesv1.KeyUsage) error {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := &x509.CertificateRequest{Subject: pkix.Name{CommonName: names.UserNodePrefix + node, Organization: []string{names.GroupNodes}}}
	if usage == certificatesv1.UsageServerAuth {
		request.DNSNames = []string{node}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = kubelet.CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "of-" + node + "-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: signer,
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage},
		},
	}, metav1.CreateOptions{})
	return err
}
