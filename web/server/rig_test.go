package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/gorilla/websocket"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/web"
)

const hostname = "skiff-first.localhost"

// rig is a dashboard in front of an API server that reports what it was asked.
type rig struct {
	*Server
	t    *testing.T
	api  *httptest.Server
	port int
	// tick receives for each line of a tail, and tailed is closed at its end.
	tick, tailed chan struct{}

	mu       sync.Mutex // guards the fields below
	requests []*http.Request
	linked   []string // clusters to which links were made
	patched  []string // queries and bodies of patches
	deleted  []string // bodies of deletions
	drained  bool
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, tick: make(chan struct{}), tailed: make(chan struct{})}
	r.api = httptest.NewUnstartedServer(http.HandlerFunc(r.serveAPI))
	r.api.EnableHTTP2 = true
	r.api.StartTLS()
	t.Cleanup(func() {
		r.api.CloseClientConnections()
		r.api.Close()
	})
	daemon := http.NewServeMux()
	daemon.HandleFunc("GET "+daemonapi.PathStatus, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(daemonapi.ClusterStatus{
			Name: "first", Phase: "running", APIReady: true, Nodes: []daemonapi.NodeStatus{{Name: "control-plane-1"}}, Problems: []string{"a disk is full"},
		})
	})
	daemon.HandleFunc(daemonapi.PathMetrics+"/api/v1/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, "%s %s cookie=%q", r.Method, r.FormValue("query"), r.Header.Get("Cookie"))
	})
	daemon.HandleFunc("GET "+daemonapi.PathMetrics+"/api/v1/label/namespace/values", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":["kube-system","shop","x\"} or up{a=\"b"]}`)
	})
	daemon.HandleFunc(daemonapi.PathLogs+"/select/logsql/stream_field_values", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"values":[{"value":"kube-system","hits":3},{"value":"shop","hits":1},{"value":"x\" or \"","hits":1}]}`)
	})
	for _, path := range []string{daemonapi.PathMetrics + "/api/v1/", daemonapi.PathLogs + "/select/logsql/query", daemonapi.PathLogs + "/select/logsql/hits"} {
		daemon.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(r.Form)
		})
	}
	// A tail sends the filter that it got, and lines until its reader has gone.
	daemon.HandleFunc(daemonapi.PathLogs+"/select/logsql/tail", func(w http.ResponseWriter, request *http.Request) {
		if err := request.ParseForm(); err != nil {
			t.Error(err)
		}
		for i := 0; request.Context().Err() == nil; i++ {
			_ = json.NewEncoder(w).Encode(map[string]any{"n": i, "filters": request.Form[daemonapi.ParameterLogFilter]})
			_ = http.NewResponseController(w).Flush()
			select {
			case <-request.Context().Done():
			case r.tick <- struct{}{}:
			}
		}
		close(r.tailed)
	})
	daemon.HandleFunc("POST "+daemonapi.PathDown, func(http.ResponseWriter, *http.Request) { t.Error("the cluster was taken down") })
	r.Server = New(Config{
		Cluster: "first", Version: "v1.2.3", Host: hostname, Daemon: daemon, Log: slog.New(slog.DiscardHandler),
		Assets: fstest.MapFS{
			web.Index + web.Suffix:          {Data: packed(t, "<!doctype html><meta name=nonce content="+web.Nonce+">")},
			"assets/main-X.js" + web.Suffix: {Data: packed(t, "console.log(1)")},
		},
		Clusters: func(context.Context) ([]daemonapi.ClusterStatus, error) {
			return []daemonapi.ClusterStatus{
				{Name: "first", Phase: "running", Nodes: make([]daemonapi.NodeStatus, 3)}, {Name: "second", Phase: "stopped"},
			}, nil
		},
		Link: func(_ context.Context, cluster string) (daemonapi.DashboardLink, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.linked = append(r.linked, cluster)
			return daemonapi.DashboardLink{URL: "http://127.0.0.1:1/login?token=x"}, nil
		},
	})
	t.Cleanup(r.Close)
	return r
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// serveAPI answers as an API server at which a token is the name of its user. "admin"
// is the cluster's administrator and may do everything.
func (r *rig) serveAPI(w http.ResponseWriter, request *http.Request) {
	user := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
	if as := request.Header.Get("Impersonate-User"); as != "" && user == "admin" {
		user = as
	}
	r.mu.Lock()
	r.requests = append(r.requests, request.Clone(context.Background()))
	r.mu.Unlock()
	type object = map[string]any
	answer := func(value any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
	switch path := request.URL.Path; {
	case user == "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": "Unauthorized"})
	case strings.HasSuffix(path, "/selfsubjectreviews"):
		groups := []string{"system:authenticated"}
		if user == "admin" {
			groups = append(groups, names.GroupClusterAdmins)
		}
		answer(object{"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "status": object{"userInfo": object{"username": user, "groups": groups}}})
	case strings.HasSuffix(path, "/selfsubjectaccessreviews"):
		var review authorizationv1.SelfSubjectAccessReview
		body, _ := io.ReadAll(request.Body)
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &review); err != nil {
			r.t.Error(err)
			return
		}
		answer(object{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": object{}, "status": object{"allowed": allowed(user, *review.Spec.ResourceAttributes)}})
	case path == "/api/v1/html":
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Content-Security-Policy", "script-src *")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = io.WriteString(w, "<script>alert(1)</script>")
	case path == "/api/v1/untyped":
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "<!doctype html><script>alert(1)</script>")
	case path == "/api/v1/pods" && request.URL.Query().Get("watch") != "" && request.Header.Get("Upgrade") == "":
		w.Header().Set("Content-Type", "application/json")
		for i := 0; request.Context().Err() == nil; i++ {
			_, _ = fmt.Fprintf(w, "{\"n\":%d}\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-request.Context().Done():
			case <-r.t.Context().Done():
				return
			}
		}
	case request.Header.Get("Upgrade") != "":
		r.serveSocket(w, request)
	default:
		r.serveObjects(w, request, answer)
	}
}

// allowed reports whether a user may do something: "admin" everything, "jane" what concerns
// the namespace shop, "pam" what concerns pods, and "ned" what concerns nodes.
func allowed(user string, what authorizationv1.ResourceAttributes) bool {
	switch user {
	case "jane":
		return what.Namespace == "shop"
	case "pam":
		return what.Resource == "pods" && what.Group == ""
	case "ned":
		return what.Resource == "nodes"
	}
	return user == "admin"
}

// serveSocket echoes the messages of a WebSocket.
func (r *rig) serveSocket(w http.ResponseWriter, request *http.Request) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, Subprotocols: []string{"v5.channel.k8s.io"}}
	conn, err := upgrader.Upgrade(w, request, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// serveObjects answers for a deployment, a node and its pods.
func (r *rig) serveObjects(w http.ResponseWriter, request *http.Request, answer func(any)) {
	type object = map[string]any
	meta := object{"name": "web", "namespace": "shop", "uid": "1"}
	deployment := object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
		"spec": object{"replicas": 3, "selector": object{"matchLabels": object{"app": "web"}}},
	}
	node := object{"apiVersion": "v1", "kind": "Node", "metadata": object{"name": "worker-1"}}
	pod := object{
		"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "alone", "namespace": "shop", "uid": "2"},
		"spec": object{"nodeName": "worker-1", "containers": []object{{"name": "c"}}}, "status": object{"phase": "Running"},
	}
	resource := func(name, kind string, namespaced bool, verbs ...string) object {
		return object{"name": name, "singularName": strings.ToLower(kind), "kind": kind, "namespaced": namespaced, "verbs": append(verbs, "list", "get")}
	}
	deployments := resource("deployments", "Deployment", true)
	deployments["shortNames"] = []string{"deploy"}
	if request.Method == http.MethodDelete && !strings.HasSuffix(request.URL.Path, "/none") {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.deleted = append(r.deleted, string(body))
		r.mu.Unlock()
		answer(object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
		return
	}
	if request.Method == http.MethodPatch {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.patched = append(r.patched, request.URL.Path+"?"+request.URL.RawQuery+" "+string(body))
		r.mu.Unlock()
	}
	switch request.URL.Path {
	case "/api":
		answer(object{"kind": "APIVersions", "versions": []string{"v1"}})
	case "/apis":
		version := object{"groupVersion": "apps/v1", "version": "v1"}
		answer(object{"kind": "APIGroupList", "apiVersion": "v1", "groups": []object{{"name": "apps", "versions": []object{version}, "preferredVersion": version}}})
	case "/api/v1":
		answer(object{"kind": "APIResourceList", "groupVersion": "v1", "resources": []object{
			resource("pods", "Pod", true), resource("nodes", "Node", false), resource("configmaps", "ConfigMap", true),
			{"name": "pods/eviction", "kind": "Eviction", "group": "policy", "version": "v1", "namespaced": true, "verbs": []string{"create"}},
		}})
	case "/apis/apps/v1":
		answer(object{"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": []object{deployments}})
	case "/apis/apps/v1/namespaces/shop/deployments/web", "/apis/apps/v1/namespaces/shop/deployments/web/scale":
		answer(deployment)
	case "/api/v1/nodes/worker-1":
		answer(node)
	case "/api/v1/namespaces/shop/pods/alone":
		if r.evicted() {
			notFound(w, request)
			return
		}
		answer(pod)
	case "/api/v1/namespaces/shop/pods/alone/eviction":
		r.mu.Lock()
		r.drained = true
		r.mu.Unlock()
		answer(object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	case "/api/v1/namespaces/shop/pods", "/api/v1/pods":
		items := []object{pod}
		if r.evicted() {
			items = nil
		}
		answer(object{"kind": "PodList", "apiVersion": "v1", "metadata": object{}, "items": items})
	case "/api/v1/namespaces/shop/configmaps/new":
		if request.Method == http.MethodPatch {
			answer(object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "new", "namespace": "shop"}, "data": object{"a": "b"}})
			return
		}
		fallthrough
	default:
		notFound(w, request)
	}
}

func notFound(w http.ResponseWriter, request *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"%s not found"}`, request.URL.Path)
}

// seen returns the requests to a path.
func (r *rig) seen(path string) []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.requests), func(request *http.Request) bool { return request.URL.Path != path })
}

func (r *rig) changes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.patched)
}

func (r *rig) deletions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.deleted)
}

// opened returns the clusters to which links were made.
func (r *rig) opened() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.linked)
}

// evicted reports whether the pod was evicted.
func (r *rig) evicted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drained
}

// kubeconfig returns one with the token of a user.
func (r *rig) kubeconfig(user string, change func(*clientcmdapi.AuthInfo)) []byte {
	r.t.Helper()
	file := clientcmdapi.NewConfig()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.api.Certificate().Raw})
	file.Clusters["c"] = &clientcmdapi.Cluster{Server: r.api.URL, CertificateAuthorityData: authority}
	file.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: user}
	if change != nil {
		change(file.AuthInfos["u"])
	}
	file.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	file.CurrentContext = "x"
	content, err := clientcmd.Write(*file)
	if err != nil {
		r.t.Fatal(err)
	}
	return content
}

// link opens the dashboard for a user.
func (r *rig) link(user string) *url.URL {
	r.t.Helper()
	link, err := r.Open(r.t.Context(), daemonapi.DashboardRequest{Kubeconfig: r.kubeconfig(user, nil)})
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, err := url.Parse(link.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := fmt.Sscan(parsed.Port(), &r.port); err != nil {
		r.t.Fatal(err)
	}
	return parsed
}

// send sends a request to the dashboard as a program would that reaches its port.
func (r *rig) send(method, target, body string, header http.Header) *http.Response {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", r.port, target), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Host = fmt.Sprintf("%s:%d", hostname, r.port)
	for name, values := range header {
		request.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	client := http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// browser is one that has logged in.
type browser struct {
	*rig
	cookie *http.Cookie
	csrf   string
}

func (r *rig) login(user string) *browser {
	r.t.Helper()
	response := r.send(http.MethodGet, r.link(user).RequestURI(), "", nil)
	if response.StatusCode != http.StatusSeeOther || len(response.Cookies()) != 1 {
		r.t.Fatalf("login: %s, %d cookies", response.Status, len(response.Cookies()))
	}
	b := &browser{rig: r, cookie: response.Cookies()[0]}
	var session struct{ CSRF string }
	b.read(b.ask(http.MethodGet, "/api/session", "", nil), &session)
	b.csrf = session.CSRF
	return b
}

// ask sends a request as the dashboard's own page does. Fields of header replace its
// own; empty ones remove them.
func (b *browser) ask(method, target, body string, header http.Header) *http.Response {
	b.t.Helper()
	all := http.Header{"Cookie": {b.cookie.Name + "=" + b.cookie.Value}, "Sec-Fetch-Site": {"same-origin"}}
	if method != http.MethodGet {
		all.Set("Origin", fmt.Sprintf("http://%s:%d", hostname, b.port))
		all.Set(headerCSRF, b.csrf)
	}
	for name, values := range header {
		if all[name] = values; values[0] == "" {
			all.Del(name)
		}
	}
	return b.send(method, target, body, all)
}

// read decodes a successful response.
func (b *browser) read(response *http.Response, value any) {
	b.t.Helper()
	content := text(b.t, response)
	if response.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s", response.Status, content)
	}
	if err := json.Unmarshal([]byte(content), value); err != nil {
		b.t.Fatalf("%v: %s", err, content)
	}
}

func text(t *testing.T, response *http.Response) string {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// socket opens a WebSocket.
func (b *browser) socket(target string, header http.Header) (*websocket.Conn, *http.Response, error) {
	b.t.Helper()
	all := http.Header{"Cookie": {b.cookie.Name + "=" + b.cookie.Value}, "Origin": {fmt.Sprintf("http://%s:%d", hostname, b.port)}}
	for name, values := range header {
		if all[name] = values; values[0] == "" {
			all.Del(name)
		}
	}
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port)) }}
	conn, response, err := dialer.Dial(fmt.Sprintf("ws://%s:%d%s", hostname, b.port, target), all)
	if err == nil {
		b.t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, response, err
}
