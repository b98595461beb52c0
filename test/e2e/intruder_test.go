package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/home"
)

// The node whose files the intruder has, and the one that they try to reach.
const taken, victim = "worker-1", "worker-2"

// testIntruder reads every file below /run/skiff and /var/lib/kubelet of one
// worker, as root there could, and tries to use them against other nodes.
func testIntruder(t *testing.T, r *rig, cluster string, k *kube) {
	k = k.in(t)
	volume := k.stageVictim(t)
	i := &intruder{rig: r, server: r.status(t, cluster).Server, authority: r.clusterCA(t, cluster)}
	i.steal(t, cluster)
	t.Logf("found in the files of %s: %s", taken, strings.Join(slices.Sorted(maps.Keys(i.identities)), ", "))

	i.provesItsIdentities(t, k.namespace)
	before := k.protected(t, volume)
	for name := range i.identities {
		for _, a := range attacks(k.namespace, volume) {
			if status, body := i.do(t, name, a.request); status < 400 {
				t.Errorf("%s can %s: status %d\n%s", name, a.what, status, body)
			}
		}
	}
	if after := k.protected(t, volume); after != before {
		t.Errorf("objects of other nodes have changed:\n%s\nbefore:\n%s", after, before)
	}
	i.requestsCertificates(t, k)
}

// stageVictim creates what the intruder must not reach: a secret and a volume of a
// pod on the victim; and a secret of a pod on the taken node. It returns the
// volume's name.
func (k *kube) stageVictim(t *testing.T) string {
	t.Helper()
	k.kubectl(t, "create", "secret", "generic", "theirs", "--from-literal=k=theirs")
	k.kubectl(t, "create", "secret", "generic", "own", "--from-literal=k=own")
	k.apply(t, "claim.yaml")
	k.runOn(t, "theirs", victim, `{"name":"s","secret":{"secretName":"theirs"}},{"name":"d","persistentVolumeClaim":{"claimName":"data"}}`)
	k.runOn(t, "own", taken, `{"name":"s","secret":{"secretName":"own"}}`)
	k.wait(t, "condition=Ready", "pod/theirs", "pod/own")
	return k.get(t, "pvc/data", ".spec.volumeName")
}

func (k *kube) runOn(t *testing.T, name, node, volumes string) {
	t.Helper()
	k.kubectl(t, "run", name, "--image=skiff.test/workload:1", "--restart=Never", "--overrides",
		fmt.Sprintf(`{"spec":{"terminationGracePeriodSeconds":1,"nodeSelector":{"kubernetes.io/hostname":%q},"volumes":[%s]}}`, node, volumes))
}

// protected describes the objects of other nodes that an intruder would change.
func (k *kube) protected(t *testing.T, volume string) string {
	t.Helper()
	return strings.Join([]string{
		k.kubectl(t, "get", "nodes", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.labels}{\"\\n\"}{end}"),
		k.kubectl(t, "get", "endpointslices", "-n", "kube-system", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.labels} {.endpoints}{\"\\n\"}{end}"),
		k.kubectl(t, "get", "pv", volume, "-o", "jsonpath={.metadata.finalizers} {.spec}"),
	}, "\n")
}

func (r *rig) clusterCA(t *testing.T, cluster string) *x509.CertPool {
	t.Helper()
	files, err := pki.ReadFiles(home.Home(r.home).Cluster(cluster).PKI())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(files["ca.crt"])
	return pool
}

type intruder struct {
	*rig
	server     string
	authority  *x509.CertPool
	identities map[string]identity
}

// identity is a client certificate or a token.
type identity struct {
	client *http.Client
	token  string
}

// bootstrapToken matches tokens that a kubelet could join with.
var bootstrapToken = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)

// steal makes an identity of every certificate with a key and of every token in
// the node's files.
func (i *intruder) steal(t *testing.T, cluster string) {
	t.Helper()
	files := map[string][]byte{}
	out := i.pipe(t, bytes.NewReader(nil), "shell", "--cluster", cluster, taken, "--", "sh", "-c",
		`find /run/skiff /var/lib/kubelet -type f -size -256k | while read -r f; do echo "$f $(base64 -w0 "$f")"; done`)
	for line := range strings.Lines(string(out)) {
		name, encoded, _ := strings.Cut(strings.TrimSpace(line), " ")
		content, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files[name] = content
	}
	i.identities = map[string]identity{}
	for name, content := range files {
		key := content
		if stem, ok := strings.CutSuffix(name, ".crt"); ok {
			key = files[stem+".key"]
		}
		if pair, err := tls.X509KeyPair(content, key); err == nil {
			i.identities[path.Base(name)] = identity{client: i.client(pair)}
		}
		for _, token := range bootstrapToken.FindAllString(string(content), -1) {
			i.identities["token "+token+" in "+path.Base(name)] = identity{client: i.client(), token: token}
		}
	}
}

func (i *intruder) client(pairs ...tls.Certificate) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: i.authority, Certificates: pairs}}}
}

// request is one request to the Kubernetes API.
type request struct {
	method, path string
	body         string
}

// do makes a request and returns its status and the beginning of the answer.
func (i *intruder) do(t *testing.T, name string, q request) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), q.method, i.server+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if q.method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	as := i.identities[name]
	if as.token != "" {
		r.Header.Set("Authorization", "Bearer "+as.token)
	}
	response, err := as.client.Do(r)
	if err != nil {
		t.Fatalf("%s, %s %s: %v", name, q.method, q.path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// provesItsIdentities does what the node may do. Without it the attacks might fail
// for another reason than a lack of rights.
func (i *intruder) provesItsIdentities(t *testing.T, namespace string) {
	t.Helper()
	for _, own := range []struct {
		as string
		request
	}{
		{"kubelet.crt", request{http.MethodGet, "/api/v1/namespaces/" + namespace + "/secrets/own", ""}},
		{"dns.crt", request{http.MethodPatch, slicePath + "/kube-dns-" + taken, `{"metadata":{"annotations":{"own":"yes"}}}`}},
		{"volumes.crt", request{http.MethodGet, "/api/v1/persistentvolumes", ""}},
		{"network.crt", request{http.MethodGet, "/api/v1/nodes", ""}},
		{"proxy.crt", request{http.MethodGet, "/api/v1/services", ""}},
	} {
		if _, found := i.identities[own.as]; !found {
			t.Errorf("%s has no %s", taken, own.as)
			continue
		}
		if status, body := i.do(t, own.as, own.request); status != http.StatusOK {
			t.Errorf("%s cannot %s %s: status %d\n%s", own.as, own.method, own.path, status, body)
		}
	}
}

const slicePath = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"

type attack struct {
	what string
	request
}

// attacks are requests that no identity of the taken node may make.
func attacks(namespace, volume string) []attack {
	here := "/api/v1/namespaces/" + namespace
	slice := func(name, service, node string) string {
		return fmt.Sprintf(`{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4",
"metadata":{"name":%q,"labels":{"kubernetes.io/service-name":%q}},
"endpoints":[{"addresses":["203.0.113.1"],"nodeName":%q}],"ports":[{"name":"dns","port":53,"protocol":"UDP"}]}`, name, service, node)
	}
	label := func(node, label string) request {
		return request{http.MethodPatch, "/api/v1/nodes/" + node, `{"metadata":{"labels":{` + label + `}}}`}
	}
	return []attack{
		{"read another node's secret", request{http.MethodGet, here + "/secrets/theirs", ""}},
		{"list secrets", request{http.MethodGet, "/api/v1/secrets", ""}},
		{"request a service account token", request{http.MethodPost, here + "/serviceaccounts/default/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`}},
		{"start a pod on another node", request{http.MethodPost, here + "/pods", fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"intruder"},"spec":{"nodeName":%q,"containers":[{"name":"c","image":"x"}]}}`, victim)}},
		{"delete another node's pod", request{http.MethodDelete, here + "/pods/theirs", ""}},
		{"exec in another node's pod", request{http.MethodPost, here + "/pods/theirs/exec?command=id&stdout=true", ""}},

		{"take a role", label(taken, `"skiff.dev/role":"control-plane"`)},
		{"take Kubernetes' role", label(taken, `"node-role.kubernetes.io/control-plane":""`)},
		{"label another node", label(victim, `"a":"b"`)},
		{"change another node's status", request{http.MethodPatch, "/api/v1/nodes/" + victim + "/status", `{"status":{"addresses":[]}}`}},
		{"delete another node", request{http.MethodDelete, "/api/v1/nodes/" + victim, ""}},
		{"renew another node's lease", request{http.MethodPatch, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + victim, `{"spec":{"holderIdentity":"x"}}`}},

		{"replace another node's DNS server", request{http.MethodPatch, slicePath + "/kube-dns-" + victim, `{"endpoints":[{"addresses":["203.0.113.1"]}]}`}},
		{"delete another node's DNS server", request{http.MethodDelete, slicePath + "/kube-dns-" + victim, ""}},
		{"delete all DNS servers", request{http.MethodDelete, slicePath, ""}},
		{"add a DNS server for another node", request{http.MethodPost, slicePath, slice("intruder", "kube-dns", victim)}},
		{"publish another node's DNS server from its own slice", request{http.MethodPatch, slicePath + "/kube-dns-" + taken, fmt.Sprintf(`{"endpoints":[{"addresses":["203.0.113.1"],"nodeName":%q}]}`, victim)}},
		{"take over another service", request{http.MethodPatch, slicePath + "/kube-dns-" + taken, `{"metadata":{"labels":{"kubernetes.io/service-name":"metrics-server"}}}`}},

		{"change another node's volume", request{http.MethodPatch, "/api/v1/persistentvolumes/" + volume, `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`}},
		{"release another node's volume", request{http.MethodPatch, "/api/v1/persistentvolumes/" + volume, `{"metadata":{"finalizers":null}}`}},
		{"delete another node's volume", request{http.MethodDelete, "/api/v1/persistentvolumes/" + volume, ""}},
	}
}

// requestsCertificates asks for certificates of others, and for client
// certificates of the taken node, which only the host makes.
func (i *intruder) requestsCertificates(t *testing.T, k *kube) {
	t.Helper()
	var created []string
	for name := range i.identities {
		for n, c := range []struct{ signer, usage, user, group string }{
			{"kubernetes.io/kube-apiserver-client-kubelet", "client auth", names.UserNodePrefix + victim, names.GroupNodes},
			{"kubernetes.io/kube-apiserver-client-kubelet", "client auth", names.UserNodePrefix + "control-plane-1", names.GroupNodes},
			{"kubernetes.io/kube-apiserver-client-kubelet", "client auth", names.UserNodePrefix + "worker-9", names.GroupNodes},
			{"kubernetes.io/kube-apiserver-client-kubelet", "client auth", names.UserNodePrefix + taken, names.GroupNodes},
			{"kubernetes.io/kube-apiserver-client", "client auth", names.UserAdmin, names.GroupClusterAdmins},
			{"kubernetes.io/kubelet-serving", "server auth", names.UserNodePrefix + victim, names.GroupNodes},
		} {
			object := fmt.Sprintf("intruder-%d-%d", len(created), n)
			status, body := i.do(t, name, request{http.MethodPost, "/apis/certificates.k8s.io/v1/certificatesigningrequests", fmt.Sprintf(
				`{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":%q},
"spec":{"signerName":%q,"usages":["digital signature",%q],"request":%q}}`,
				object, c.signer, c.usage, base64.StdEncoding.EncodeToString(certificateRequest(t, c.user, c.group, c.usage == "server auth")))})
			switch status {
			case http.StatusCreated:
				created = append(created, object)
			case http.StatusForbidden, http.StatusUnauthorized:
			default:
				t.Errorf("%s requests a certificate: status %d\n%s", name, status, body)
			}
		}
	}
	if len(created) == 0 {
		t.Error("not even a kubelet can request a certificate")
	}
	// A request that is approved is signed within a second.
	time.Sleep(10 * time.Second)
	for _, object := range created {
		var got struct{ Status struct{ Certificate []byte } }
		if err := json.Unmarshal([]byte(k.kubectl(t, "get", "csr", object, "-o", "json")), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Status.Certificate) > 0 {
			t.Errorf("the intruder was issued a certificate:\n%s", k.kubectl(t, "describe", "csr", object))
		}
		k.kubectl(t, "delete", "csr", object)
	}
}

func certificateRequest(t *testing.T, user, group string, serving bool) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := &x509.CertificateRequest{Subject: pkix.Name{CommonName: user, Organization: []string{group}}}
	if node, ok := strings.CutPrefix(user, names.UserNodePrefix); ok && serving {
		request.DNSNames = []string{node}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}
