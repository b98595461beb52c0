package plane

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
)

// Site is the environment of a control plane: directories, certificates and
// ports.
type Site struct {
	dir                        string
	apiPort, etcdPort          int
	peerPort                   int
	managerPort, schedulerPort int
}

// NewSite creates the directories and certificates below dir, and finds free ports.
func NewSite(dir string) (Site, error) {
	s := Site{dir: dir}
	if _, err := servertest.Write(dir, netip.MustParseAddr("127.0.0.1")); err != nil {
		return s, err
	}
	for _, d := range []string{"state", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return s, err
		}
	}
	for _, port := range []*int{&s.apiPort, &s.etcdPort, &s.peerPort, &s.managerPort, &s.schedulerPort} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return s, err
		}
		defer l.Close()
		*port = l.Addr().(*net.TCPAddr).Port
	}
	for name, group := range map[string]string{"system:kube-controller-manager": "", "system:kube-scheduler": "", "bench": "system:masters"} {
		if err := s.writeKubeconfig(name, group); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s Site) url() string { return fmt.Sprintf("https://127.0.0.1:%d", s.apiPort) }

func (s Site) pki(name string) string { return filepath.Join(s.dir, "pki", filepath.FromSlash(name)) }

// Kubeconfig is the file of a user's kubeconfig.
func (s Site) Kubeconfig(user string) string { return filepath.Join(s.dir, user+".kubeconfig") }

// Client returns the client of the benchmark, which uses protobuf like kubelets.
func (s Site) Client() (kubernetes.Interface, error) {
	c, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig("bench"))
	if err != nil {
		return nil, err
	}
	c.QPS = -1
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	return kubernetes.NewForConfig(c)
}

func (s Site) writeKubeconfig(user, group string) error {
	authority := pki.Files{}
	for _, name := range []string{"ca.crt", "ca.key"} {
		content, err := os.ReadFile(s.pki(name))
		if err != nil {
			return err
		}
		authority[name] = content
	}
	var groups []string
	if group != "" {
		groups = []string{group}
	}
	certificate, key, err := pki.Client(authority, user, groups, 24*time.Hour, time.Now())
	if err != nil {
		return err
	}
	c := api.NewConfig()
	c.Clusters["c"] = &api.Cluster{Server: s.url(), CertificateAuthorityData: authority["ca.crt"]}
	c.AuthInfos["c"] = &api.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	c.Contexts["c"] = &api.Context{Cluster: "c", AuthInfo: "c"}
	c.CurrentContext = "c"
	return clientcmd.WriteToFile(*c, s.Kubeconfig(user))
}

// SkiffCommands is the control plane of Skiff.
func SkiffCommands(program string, s Site) []Command {
	return []Command{{program, []string{
		"--node-config", filepath.Join(s.dir, "node.json"), "--pki-dir", s.pki(""),
		"--state-dir", filepath.Join(s.dir, "state"), "--log-dir", filepath.Join(s.dir, "log"),
		"--port", strconv.Itoa(s.apiPort), "--etcd-client-port", strconv.Itoa(s.etcdPort), "--etcd-peer-port", strconv.Itoa(s.peerPort),
	}}}
}

// tolerate keeps upstream's programs from exiting if they start before the API
// server has created their roles. With kubeadm, the kubelet would restart them.
const tolerate = "--authentication-tolerate-lookup-failure"

// UpstreamCommands are upstream's programs with the flags of kubeadm: paths,
// certificates and addresses are set, everything else has its default.
func UpstreamCommands(dir string, s Site) []Command {
	program := func(name string) string { return filepath.Join(dir, name) }
	etcd, peer := fmt.Sprintf("https://127.0.0.1:%d", s.etcdPort), fmt.Sprintf("https://127.0.0.1:%d", s.peerPort)
	manager, scheduler := s.Kubeconfig("system:kube-controller-manager"), s.Kubeconfig("system:kube-scheduler")
	return []Command{
		{program("server"), []string{ // etcd's main package is go.etcd.io/etcd/server/v3
			"--name=control-plane-1", "--data-dir=" + filepath.Join(s.dir, "etcd"),
			"--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=control-plane-1=" + peer,
			"--cert-file=" + s.pki("etcd/server.crt"), "--key-file=" + s.pki("etcd/server.key"), "--client-cert-auth", "--trusted-ca-file=" + s.pki("etcd/ca.crt"),
			"--peer-cert-file=" + s.pki("etcd/peer.crt"), "--peer-key-file=" + s.pki("etcd/peer.key"), "--peer-client-cert-auth", "--peer-trusted-ca-file=" + s.pki("etcd/ca.crt"),
		}},
		{program("kube-apiserver"), []string{
			"--etcd-servers=" + etcd, "--etcd-cafile=" + s.pki("etcd/ca.crt"),
			"--etcd-certfile=" + s.pki("apiserver-etcd-client.crt"), "--etcd-keyfile=" + s.pki("apiserver-etcd-client.key"),
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.apiPort), "--endpoint-reconciler-type=none",
			"--tls-cert-file=" + s.pki("apiserver.crt"), "--tls-private-key-file=" + s.pki("apiserver.key"), "--client-ca-file=" + s.pki("ca.crt"),
			"--kubelet-client-certificate=" + s.pki("apiserver-kubelet-client.crt"), "--kubelet-client-key=" + s.pki("apiserver-kubelet-client.key"),
			"--proxy-client-cert-file=" + s.pki("front-proxy-client.crt"), "--proxy-client-key-file=" + s.pki("front-proxy-client.key"),
			"--requestheader-client-ca-file=" + s.pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local", "--service-account-key-file=" + s.pki("sa.pub"), "--service-account-signing-key-file=" + s.pki("sa.key"),
			"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--enable-bootstrap-token-auth", "--allow-privileged",
		}},
		{program("kube-controller-manager"), []string{
			"--kubeconfig=" + manager, "--authentication-kubeconfig=" + manager, "--authorization-kubeconfig=" + manager,
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.managerPort), "--cert-dir=" + filepath.Join(s.dir, "manager"),
			"--use-service-account-credentials", "--allocate-node-cidrs", "--cluster-cidr=10.244.0.0/16", "--service-cluster-ip-range=10.96.0.0/16",
			"--root-ca-file=" + s.pki("ca.crt"), "--service-account-private-key-file=" + s.pki("sa.key"),
			"--cluster-signing-cert-file=" + s.pki("ca.crt"), "--cluster-signing-key-file=" + s.pki("ca.key"),
			"--controllers=*,bootstrapsigner,tokencleaner",
			tolerate,
		}},
		{program("kube-scheduler"), []string{
			"--kubeconfig=" + scheduler, "--authentication-kubeconfig=" + scheduler, "--authorization-kubeconfig=" + scheduler,
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.schedulerPort), "--cert-dir=" + filepath.Join(s.dir, "scheduler"), tolerate,
		}},
	}
}
