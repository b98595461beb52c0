package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestTheBrowserCannotActAsAnotherUser(t *testing.T) {
	r := newRig(t)
	b := r.login("jane")
	header := http.Header{
		"Authorization": {"Bearer admin"}, "Impersonate-User": {"admin"}, "Impersonate-Group": {"system:masters"}, "Impersonate-Uid": {"1"}, "Impersonate-Extra-Scopes": {"x"},
		"X-Remote-User": {"admin"}, "X-Remote-Group": {"system:masters"}, "X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"for=1.2.3.4"}, "User-Agent": {"browser"},
		"Proxy-Authorization": {"Basic x"}, "X-Skiff-Csrf": {b.csrf}, "Referer": {"http://x"}, "Connection": {"Impersonate-User"},
		"Accept": {"application/json;as=Table;v=v1;g=meta.k8s.io"},
	}
	b.ask(http.MethodGet, "/api/kubernetes/api/v1/namespaces/shop/pods?limit=5", "", header)
	seen := r.seen("/api/v1/namespaces/shop/pods")
	if len(seen) != 1 {
		t.Fatalf("%d requests", len(seen))
	}
	got := seen[0].Header
	if user := got.Get("Authorization"); user != "Bearer jane" || got.Get("User-Agent") != userAgent || seen[0].URL.RawQuery != "limit=5" {
		t.Errorf("user %q, header %v, query %q", user, got, seen[0].URL.RawQuery)
	}
	for name := range got {
		switch name {
		case "Authorization", "User-Agent", "Accept", "Accept-Encoding":
		default:
			t.Errorf("header %s reached the API server", name)
		}
	}
	if got.Get("Accept") != header["Accept"][0] {
		t.Errorf("Accept: %q", got.Get("Accept"))
	}
}

func TestTheSessionImpersonatesItsUser(t *testing.T) {
	r := newRig(t)
	link, err := r.Open(t.Context(), daemonapi.DashboardRequest{Kubeconfig: r.kubeconfig("admin", impersonate("jane", "dev"))})
	if err != nil {
		t.Fatal(err)
	}
	if link.User != "jane" || link.Expires.Before(time.Now()) {
		t.Errorf("link: %+v", link)
	}
	for _, request := range r.seen("/apis/authentication.k8s.io/v1/selfsubjectreviews") {
		if request.Header.Get("Impersonate-User") != "jane" || request.Header.Get("Impersonate-Group") != "dev" {
			t.Errorf("header: %v", request.Header)
		}
	}
}

func TestWhatPodsSendIsNotAPageOfTheDashboard(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for _, path := range []string{
		"/api/v1/namespaces/shop/pods/evil/proxy/", "/api/v1/namespaces/shop/services/evil:80/proxy/index.html", "/api/v1/nodes/worker-1/proxy/stats/summary",
		"/api/v1/namespaces/shop/pods/evil/proxy", "/api/v1/proxy/namespaces/shop/pods/evil/", "/api/v1/namespaces/shop/pods/evil/%70roxy/", "/api/v1/namespaces/shop/pods/evil%2fproxy/",
		"/api/v1//namespaces/shop/pods/evil/proxy/", "/api/v1/%2fnamespaces/shop/pods/evil/proxy/",
	} {
		response := b.ask(http.MethodGet, "/api/kubernetes"+path, "", nil)
		if response.StatusCode != http.StatusForbidden && response.StatusCode/100 != 3 {
			t.Errorf("%s: %s", path, response.Status)
		}
		if found := r.seen(path); len(found) > 0 {
			t.Errorf("%s reached the API server", path)
		}
	}
	for _, path := range []string{"/api/v1/namespaces/proxy/pods", "/api/v1/namespaces/shop/configmaps/proxy", "/api/v1/namespaces/proxy"} {
		if response := b.ask(http.MethodGet, "/api/kubernetes"+path, "", nil); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
	response := b.ask(http.MethodGet, "/api/kubernetes/api/v1/html", "", nil)
	if kind := response.Header.Get("Content-Type"); kind != "application/octet-stream" {
		t.Errorf("HTML is sent as %q", kind)
	}
	for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Origin"} {
		if value := response.Header.Get(name); value != "" {
			t.Errorf("%s: %q", name, value)
		}
	}
	if policy := response.Header.Values("Content-Security-Policy"); len(policy) != 1 || !strings.Contains(policy[0], "sandbox") {
		t.Errorf("policy %q", policy)
	}
	if kind := b.ask(http.MethodGet, "/api/kubernetes/api/v1/untyped", "", nil).Header.Get("Content-Type"); kind != "application/octet-stream" {
		t.Errorf("HTML without a type is sent as %q", kind)
	}
}

func TestMediaTypesThatBrowsersRunAreReplaced(t *testing.T) {
	for kind, data := range map[string]bool{
		"application/json": true, "application/json;stream=watch": true, "text/plain": true, "text/plain; charset=utf-8": true, "application/yaml": true,
		"application/vnd.kubernetes.protobuf": true, "application/apply-patch+json": true, "application/x-ndjson": true, "application/stream+json": true,
		"text/html": false, "text/javascript": false, "image/svg+xml": false, "application/xhtml+xml": false, "application/pdf": false, "text/xml": false,
		"text/css": false, "": false, "x": false, "application/javascript": false, "text/html; charset=utf-8": false, "image/svg+json": false,
	} {
		if got := inert(kind); (got != "application/octet-stream") != data {
			t.Errorf("%q becomes %q", kind, got)
		}
	}
}

func TestAWatchIsStreamedUntilTheSessionEnds(t *testing.T) {
	r := newRig(t)
	b := r.login("jane")
	response := b.ask(http.MethodGet, "/api/kubernetes/api/v1/pods?watch=1", "", nil)
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || lines.Text() != `{"n":0}` {
		t.Fatalf("got %q, %v", lines.Text(), lines.Err())
	}
	ended := make(chan bool)
	go func() { ended <- lines.Scan() }()
	select {
	case <-ended:
		t.Fatal("the watch ended")
	case <-time.After(50 * time.Millisecond):
	}
	b.ask(http.MethodDelete, "/api/session", "", nil)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the watch lasts longer than the session")
	}
}

func TestWebSocketsReachTheAPIServerAsTheSessionsUser(t *testing.T) {
	r := newRig(t)
	b := r.login("jane")
	const target = "/api/kubernetes/api/v1/namespaces/shop/pods/web/exec?command=sh&stdin=true&accept=application%2Fjson%3Bas%3DTable"
	conn, response, err := b.socket(target, http.Header{"Sec-Websocket-Protocol": {"v5.channel.k8s.io, " + bearerProtocol + "YWRtaW4"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Sec-Websocket-Protocol"); got != "v5.channel.k8s.io" {
		t.Errorf("protocol %q", got)
	}
	if err := conn.WriteMessage(websocket.BinaryMessage, []byte("\x00ls\n")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.ReadMessage(); err != nil || string(message) != "\x00ls\n" {
		t.Errorf("got %q, %v", message, err)
	}
	request := r.seen("/api/v1/namespaces/shop/pods/web/exec")[0]
	if request.Header.Get("Authorization") != "Bearer jane" || strings.Contains(request.Header.Get("Sec-Websocket-Protocol"), "bearer") {
		t.Errorf("header: %v", request.Header)
	}
	if request.Header.Get("Accept") != "application/json;as=Table" || request.URL.Query().Has("accept") || request.URL.Query().Get("command") != "sh" {
		t.Errorf("accept %q, query %q", request.Header.Get("Accept"), request.URL.RawQuery)
	}
	if got := request.Header.Get("Cookie"); got != "" {
		t.Errorf("cookie %q reached the API server", got)
	}
	if got := request.Header.Get("Origin"); got != r.api.URL {
		t.Errorf("origin %q: the API server refuses watches over a WebSocket without its own", got)
	}
	b.ask(http.MethodDelete, "/api/session", "", nil)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	var timeout net.Error
	if _, _, err := conn.ReadMessage(); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the WebSocket lasts longer than the session: %v", err)
	}
}

func TestWebSocketsOfOtherOriginsAreRefused(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for name, header := range map[string]http.Header{
		"another site": {"Origin": {"http://evil.example"}}, "another port": {"Origin": {fmt.Sprintf("http://%s:%d", hostname, r.port+1)}},
		"no origin": {"Origin": {""}}, "a file": {"Origin": {"null"}}, "no session": {"Cookie": {""}}, "another host": {"Host": {"evil.example"}},
	} {
		_, response, err := b.socket("/api/kubernetes/api/v1/namespaces/shop/pods/web/exec?command=sh", header)
		if err == nil || response == nil || response.StatusCode < 400 {
			t.Errorf("%s: a WebSocket was opened", name)
		}
	}
	if found := r.seen("/api/v1/namespaces/shop/pods/web/exec"); len(found) > 0 {
		t.Errorf("%d requests reached the API server", len(found))
	}
}

func TestAnUnreachableAPIServerIsReported(t *testing.T) {
	r := newRig(t)
	b := r.login("jane")
	r.api.CloseClientConnections()
	_ = r.api.Listener.Close()
	response := b.ask(http.MethodGet, "/api/kubernetes/version", "", nil)
	var failure problem
	if err := json.Unmarshal([]byte(text(t, response)), &failure); err != nil || response.StatusCode != http.StatusBadGateway || failure.Hint == "" {
		t.Errorf("%s: %+v, %v", response.Status, failure, err)
	}
}

func TestLargeRequestsAreRefused(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	large := `"` + strings.Repeat("x", maxBody)
	if response := b.ask(http.MethodPatch, "/api/kubernetes/api/v1/nodes/worker-1", large, nil); response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("to the API server: %s", response.Status)
	}
	if response := b.ask(http.MethodPost, "/api/actions/apply", large, nil); response.StatusCode != http.StatusBadRequest {
		t.Errorf("an action: %s", response.Status)
	}
}

func FuzzInert(f *testing.F) {
	for _, kind := range []string{"application/json", "text/html; charset=utf-8", "application/json; text/html", "application/x+json;a=\"text/html\""} {
		f.Add(kind)
	}
	f.Fuzz(func(t *testing.T, kind string) {
		got := strings.ToLower(inert(kind))
		main, _, _ := strings.Cut(got, ";")
		if main == "" || strings.Contains(main, "html") && !strings.HasSuffix(main, "+json") || strings.Contains(main, "javascript") && !strings.HasSuffix(main, "+json") || strings.HasPrefix(main, "image/") || strings.ContainsAny(got, "\r\n") {
			t.Errorf("%q becomes %q", kind, got)
		}
	})
}
