package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

func (s *server) replace(files map[string][]byte) int {
	s.t.Helper()
	body, err := json.Marshal(nodeapi.FilesRequest{Files: files})
	if err != nil {
		s.t.Fatal(err)
	}
	code, text := s.do("POST", nodeapi.PathFiles, string(body))
	s.t.Logf("%d %s", code, strings.TrimSpace(text))
	return code
}

func TestOnlyFilesBelowThePKIDirectoryAreReplaced(t *testing.T) {
	s := start(t)
	for _, content := range []string{"first", "second"} {
		if code := s.replace(map[string][]byte{"etcd/server.crt": []byte(content), "one": []byte(content)}); code != http.StatusNoContent {
			t.Errorf("%s: %d", content, code)
		}
		for _, name := range []string{"etcd/server.crt", "one"} {
			path := filepath.Join(s.pkiDir, name)
			got, err := os.ReadFile(path)
			info, failed := os.Stat(path)
			if err != nil || failed != nil || string(got) != content || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %q, %v, %v", name, got, err, info)
			}
		}
	}
	for _, name := range []string{"../outside", "/etc/passwd", "a/../../b", "a//b", ".", ""} {
		if code := s.replace(map[string][]byte{"three": []byte("x"), name: []byte("x")}); code != http.StatusBadRequest {
			t.Errorf("%q: %d", name, code)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.pkiDir, "t*")); err != nil || len(left) > 0 {
		t.Errorf("a refused request wrote %v, %v", left, err)
	}
	if left, err := filepath.Glob(filepath.Join(s.pkiDir, "*", "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTheNextConnectionUsesARenewedCertificate(t *testing.T) {
	s := start(t)
	authority := issue(t, "another", nil)
	own := issue(t, "node", &authority)
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if code := s.replace(map[string][]byte{
		"node-api.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}),
		"node-api.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}); code != http.StatusNoContent {
		t.Fatal(code)
	}
	config := s.config.Clone()
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(authority.Leaf)
	conn, err := tls.Dial("tcp", s.address, config)
	if err != nil {
		t.Fatalf("the new certificate is not shown: %v", err)
	}
	_ = conn.Close()
}

func TestStatusHasTheAlarmsOfPrograms(t *testing.T) {
	s := start(t)
	if _, text := s.do("GET", nodeapi.PathStatus, ""); strings.Contains(text, "alarms") {
		t.Errorf("alarms without any: %s", text)
	}
	if err := os.MkdirAll(s.alarms, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"b": "third\n", "a": "first\nsecond\n"} {
		if err := os.WriteFile(filepath.Join(s.alarms, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, text := s.do("GET", nodeapi.PathStatus, ""); code != 200 || !strings.Contains(text, `"alarms":["first","second","third"]`) {
		t.Errorf("%d %s", code, text)
	}
}

func TestStatusHasTheNodesOwnCertificates(t *testing.T) {
	s := start(t)
	authority := issue(t, "authority", nil)
	expires := authority.Leaf.NotAfter
	kubelet := issueUntil(t, "kubelet", &authority, expires.Add(-time.Minute))
	for path, content := range map[string][]byte{
		filepath.Join(s.pkiDir, "ca.crt"):             encoded(authority),
		filepath.Join(s.pkiDir, "etcd/peer.crt"):      encoded(issueUntil(t, "peer", &authority, expires.Add(-time.Second))),
		filepath.Join(s.pkiDir, "broken.crt"):         []byte("nothing"),
		filepath.Join(s.pkiDir, "kubelet-server.crt"): encoded(kubelet),
		filepath.Join(s.pkiDir, "kubelet-server.key"): []byte("key"),
		filepath.Join(s.pkiDir, "sa.pub"):             []byte("public"),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, text := s.do("GET", nodeapi.PathStatus, "")
	var status nodeapi.Status
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range status.Certificates {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "kubelet-server etcd/peer node-api" || !status.Certificates[0].Expires.Equal(kubelet.Leaf.NotAfter) {
		t.Errorf("%s, the first until %s, not %s", got, status.Certificates[0].Expires, kubelet.Leaf.NotAfter)
	}
	if first := status.Certificates[0]; first.Subject != "kubelet" || first.Issuer != hex.EncodeToString(authority.Leaf.SubjectKeyId) {
		t.Errorf("described as %+v", first)
	}
	if got := slices.Sorted(maps.Keys(status.Trust)); !slices.Equal(got, []string{"ca.crt", "host-ca.crt", "sa.pub"}) {
		t.Errorf("sums of %v", got)
	}
}

func TestSettingsOfTheHostAreCheckedBeforeTheyAreTakenOver(t *testing.T) {
	s := start(t)
	for body, want := range map[string]int{
		`{"search":["corp.test"]}`: http.StatusNoContent,
		`{}`:                       http.StatusNoContent,
		`{"search":["a\nnameserver 192.0.2.66"]}`: http.StatusBadRequest,
		`{"search":[""]}`:                         http.StatusBadRequest,
		`{"nameservers":["192.0.2.66"]}`:          http.StatusBadRequest,
	} {
		code, text := s.do("POST", nodeapi.PathHost, body)
		if code != want {
			t.Errorf("%s: %d %s, want %d", body, code, text, want)
		}
		select {
		case got := <-s.host:
			if want != http.StatusNoContent {
				t.Errorf("%s was taken over: %v", body, got)
			}
		default:
			if want == http.StatusNoContent {
				t.Errorf("%s was not taken over", body)
			}
		}
	}
}
