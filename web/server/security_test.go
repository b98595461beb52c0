package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestALinkWorksOnce(t *testing.T) {
	r := newRig(t)
	link := r.link("jane")
	if link.Hostname() != hostname || link.Path != "/login" || len(link.Query().Get("token")) < 43 {
		t.Errorf("link: %s", link)
	}
	for _, header := range []http.Header{{"Sec-Purpose": {"prefetch"}}, {"Purpose": {"prefetch"}}} {
		if response := r.send(http.MethodGet, link.RequestURI(), "", header); response.StatusCode != http.StatusForbidden {
			t.Errorf("prefetch: %s", response.Status)
		}
	}
	if response := r.send(http.MethodHead, link.RequestURI(), "", nil); response.StatusCode != http.StatusForbidden {
		t.Errorf("HEAD: %s", response.Status)
	}
	first := r.send(http.MethodGet, link.RequestURI(), "", nil)
	if first.StatusCode != http.StatusSeeOther || first.Header.Get("Location") != "/" {
		t.Fatalf("first use: %s", first.Status)
	}
	again := r.send(http.MethodGet, link.RequestURI(), "", nil)
	if again.StatusCode != http.StatusForbidden || len(again.Cookies()) > 0 || !strings.Contains(text(t, again), "was used already") {
		t.Errorf("second use: %s", again.Status)
	}
	for _, token := range []string{"", "x", strings.Repeat("A", 43)} {
		if response := r.send(http.MethodGet, "/login?token="+token, "", nil); response.StatusCode != http.StatusForbidden {
			t.Errorf("token %q: %s", token, response.Status)
		}
	}
}

func TestTheCookieIsOnlyForThisServersPages(t *testing.T) {
	r := newRig(t)
	cookie := r.login("jane").cookie
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Domain != "" || cookie.Path != "/" || cookie.MaxAge != 0 {
		t.Errorf("cookie: %s", cookie)
	}
	if want := fmt.Sprintf("skiff-dashboard-%d", r.port); cookie.Name != want || len(cookie.Value) < 43 {
		t.Errorf("cookie: %s, want the name %s", cookie, want)
	}
}

func TestOnlyTheLoopbackAddressesAreServed(t *testing.T) {
	r := newRig(t)
	r.link("jane")
	// Browsers try ::1 first for names below "localhost": a server there would see the link.
	if other, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", r.port)); err == nil {
		_ = other.Close()
		t.Error("another program can serve the port at ::1")
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip := a.(*net.IPNet).IP
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), fmt.Sprint(r.port)), time.Second)
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s is served", ip)
		}
	}
}

func TestOtherNamesOfTheServerAreRefused(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for _, host := range []string{"evil.example", fmt.Sprintf("evil.example:%d", r.port), "127.0.0.1", "localhost", fmt.Sprintf("localhost:%d", r.port), fmt.Sprintf("%s:%d", hostname, r.port+1), fmt.Sprintf("127.0.0.1.evil.example:%d", r.port)} {
		for _, target := range []string{"/", "/api/session", "/api/kubernetes/api/v1/pods", "/login?token=x"} {
			if response := b.ask(http.MethodGet, target, "", http.Header{"Host": {host}}); response.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s at %q: %s", target, host, response.Status)
			}
		}
	}
	for _, host := range []string{fmt.Sprintf("127.0.0.1:%d", r.port), fmt.Sprintf("%s:%d", strings.ToUpper(hostname), r.port)} {
		if response := b.ask(http.MethodGet, "/api/session", "", http.Header{"Host": {host}}); response.StatusCode != http.StatusOK {
			t.Errorf("%q: %s", host, response.Status)
		}
	}
}

func TestBrowsersLeaveOutPort80(t *testing.T) {
	for _, c := range []struct {
		port       int
		host, want string
	}{
		{80, "first.localhost", "first.localhost"}, {80, "first.localhost:80", "first.localhost:80"}, {80, "evil.example", ""},
		{8080, "first.localhost", ""}, {8080, "first.localhost:8080", "first.localhost:8080"},
	} {
		g := newGuard(c.port, []string{"first.localhost"}, nil)
		if got := g.host(&http.Request{Host: c.host}); got != c.want {
			t.Errorf("%s at port %d: %q, want %q", c.host, c.port, got, c.want)
		}
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	own := fmt.Sprintf("http://%s:%d", hostname, r.port)
	for _, c := range []struct {
		name, method, target string
		header               http.Header
		want                 int
	}{
		{"a page of another site", "GET", "/api/session", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a page at another port", "GET", "/api/session", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"a frame of another site", "GET", "/", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, 403},
		{"a script of another site", "GET", "/assets/main-X.js", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"script"}}, 403},
		{"a link of another site to data", "GET", "/api/session", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, 403},
		{"a link of another site to the page", "GET", "/", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, 200},
		{"the address bar", "GET", "/", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
		{"another origin", "GET", "/api/session", http.Header{"Origin": {"http://evil.example"}, "Sec-Fetch-Site": {""}}, 403},
		{"no origin", "GET", "/api/session", http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {""}}, 403},
		{"the origin with another port", "POST", "/api/clusters/second/open", http.Header{"Origin": {own + "1"}}, 403},
		{"a form of another site", "POST", "/api/clusters/second/open", http.Header{"Origin": {"http://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"its own page", "POST", "/api/clusters/second/open", nil, 200},
		{"its own page without the token", "POST", "/api/clusters/second/open", http.Header{headerCSRF: {""}}, 403},
		{"its own page with a wrong token", "POST", "/api/clusters/second/open", http.Header{headerCSRF: {"x"}}, 403},
		{"without the token to the API server", "DELETE", "/api/kubernetes/api/v1/namespaces/shop/pods/alone", http.Header{headerCSRF: {""}}, 403},
		{"another method without the token", "PURGE", "/api/kubernetes/api/v1/pods", http.Header{headerCSRF: {""}}, 403},
	} {
		if response := b.ask(c.method, c.target, "", c.header); response.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.name, response.Status, c.want)
		}
	}
	if n := len(r.opened()); n != 1 {
		t.Errorf("%d links were made, want one", n)
	}
	if found := r.seen("/api/v1/namespaces/shop/pods/alone"); len(found) > 0 {
		t.Errorf("%d requests reached the API server", len(found))
	}
}

func TestDataNeedsASession(t *testing.T) {
	r := newRig(t)
	r.link("admin")
	for _, target := range []string{"/api/session", "/api/clusters", "/api/status", "/api/kubernetes/version", "/api/metrics/api/v1/query?query=up", "/api/logs/select/logsql/query", "/api/forwards", "/api/unknown"} {
		for _, cookie := range []string{"", fmt.Sprintf("skiff-dashboard-%d=x", r.port), fmt.Sprintf("skiff-dashboard-%d=", r.port)} {
			response := r.send(http.MethodGet, target, "", http.Header{"Cookie": {cookie}})
			if response.StatusCode != http.StatusUnauthorized || !strings.Contains(text(t, response), "skiff dashboard first") {
				t.Errorf("%s: %s", target, response.Status)
			}
		}
	}
}

func TestASessionEnds(t *testing.T) {
	var s sessions
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	who := identity{}
	token := s.invite(who, "", start)
	if _, ok := s.redeem(token, start.Add(inviteLife)); ok {
		t.Error("a link older than a minute works")
	}
	begin := func() (string, *session) {
		cookie, ok := s.redeem(s.invite(who, "", start), start.Add(inviteLife-1))
		if !ok {
			t.Fatal("a link does not work")
		}
		return cookie, s.find(cookie, start.Add(inviteLife))
	}
	idle, one := begin()
	if s.find(idle, one.used.Add(sessionIdle-1)) == nil || s.find(idle, one.used.Add(sessionIdle)) != nil {
		t.Error("an unused session does not end after an hour")
	}
	done := one.begin()
	if s.find(idle, one.used.Add(sessionIdle)) == nil {
		t.Error("a session ends while it is used")
	}
	if n := s.sweep(one.used.Add(sessionIdle)); n != 1 || one.ended {
		t.Errorf("%d sessions are left", n)
	}
	if n := s.sweep(one.expiry); n != 0 || !one.ended {
		t.Errorf("%d sessions are left after twelve hours", n)
	}
	done()
	cookie, two := begin()
	s.remove(cookie)
	if s.find(cookie, start.Add(inviteLife)) != nil || !two.ended {
		t.Error("a session that was ended is found")
	}
	if got := sessionLife; one.expiry.Sub(start.Add(inviteLife-1)) != got {
		t.Errorf("a session lasts until %s", one.expiry)
	}
}

func TestLinksAndSessionsAreBounded(t *testing.T) {
	var s sessions
	now := time.Now()
	var tokens, cookies []string
	for i := range 3 * maxInvites {
		tokens = append(tokens, s.invite(identity{}, "", now.Add(time.Duration(i))))
	}
	if len(s.invited) != maxInvites {
		t.Errorf("%d links are kept", len(s.invited))
	}
	if _, ok := s.redeem(tokens[0], now); ok {
		t.Error("the oldest link is kept")
	}
	for i := range 3 * maxSessions {
		cookie, ok := s.redeem(s.invite(identity{}, "", now), now.Add(time.Duration(i)))
		if !ok {
			t.Fatal("a link does not work")
		}
		cookies = append(cookies, cookie)
	}
	if len(s.open) != maxSessions || s.find(cookies[0], now) != nil || s.find(cookies[len(cookies)-1], now) == nil {
		t.Errorf("%d sessions are kept", len(s.open))
	}
}

func TestThePortClosesWithTheLastSession(t *testing.T) {
	r := newRig(t)
	b := r.login("jane")
	if response := b.ask(http.MethodDelete, "/api/session", "", nil); response.StatusCode != http.StatusNoContent {
		t.Fatalf("log out: %s", response.Status)
	}
	if response := b.ask(http.MethodGet, "/api/session", "", nil); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("after logging out: %s", response.Status)
	}
	r.Server.mu.Lock()
	if r.sessions.sweep(time.Now()) == 0 {
		r.shut()
	}
	r.Server.mu.Unlock()
	if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port)); err == nil {
		_ = conn.Close()
		t.Error("the port is open")
	}
	r.login("jane") // it opens again
	r.Close()
	if _, err := r.Open(t.Context(), daemonapi.DashboardRequest{Kubeconfig: r.kubeconfig("jane", nil)}); err == nil {
		t.Error("a closed dashboard opens")
	}
}

func TestEveryResponseIsHardened(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for _, target := range []string{"/", "/pods/shop", "/assets/main-X.js", "/assets/none.js", "/api/session", "/api/kubernetes/api/v1/html", "/api/none", "/login?token=x"} {
		header := b.ask(http.MethodGet, target, "", nil).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY", "Access-Control-Allow-Origin": "",
		} {
			if got := header.Values(name); want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0] != want) {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		if cache := header.Get("Cache-Control"); (cache == "no-store") == (target == "/assets/main-X.js") {
			t.Errorf("%s: Cache-Control is %q", target, cache)
		}
		policy := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: policy %q", target, policy)
		}
	}
}

func TestThePageHasANonceForStylesOnly(t *testing.T) {
	r := newRig(t)
	r.link("jane")
	nonces := map[string]bool{}
	for range 2 {
		response := r.send(http.MethodGet, "/", "", nil)
		_, nonce, _ := strings.Cut(text(t, response), "content=")
		nonce = strings.TrimSuffix(nonce, ">")
		policy := response.Header.Get("Content-Security-Policy")
		if len(nonce) < 20 || strings.Count(policy, nonce) != 1 || !strings.Contains(policy, "'nonce-"+nonce+"'") {
			t.Errorf("nonce %q in %q", nonce, policy)
		}
		host := fmt.Sprintf("%s:%d", hostname, r.port)
		for _, want := range []string{"script-src http://" + host + "/assets/;", "connect-src 'self' ws://" + host + ";", "img-src 'self' data:;", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("policy %q lacks %q", policy, want)
			}
		}
		nonces[nonce] = true
	}
	if len(nonces) != 2 {
		t.Error("two pages have the same nonce")
	}
}

func TestInvalidCredentialsAreRefused(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"no kubeconfig": {[]byte("x"), "invalid kubeconfig"},
		"a program": {r.kubeconfig("", func(u *clientcmdapi.AuthInfo) {
			u.Exec = &clientcmdapi.ExecConfig{Command: "touch", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode}
		}), "runs a program"},
		"a file":       {r.kubeconfig("", func(u *clientcmdapi.AuthInfo) { u.TokenFile = "/etc/passwd" }), "refers to files"},
		"unknown user": {r.kubeconfig("", nil), "does not accept these credentials"},
	} {
		_, err := r.Open(t.Context(), daemonapi.DashboardRequest{Kubeconfig: c.content})
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	r.Server.mu.Lock()
	defer r.Server.mu.Unlock()
	if r.http != nil {
		t.Error("a port was opened")
	}
}

func TestAnotherPortIsRefusedWhileOneIsOpen(t *testing.T) {
	r := newRig(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	open := func(port int) error {
		_, err := r.Open(t.Context(), daemonapi.DashboardRequest{Kubeconfig: r.kubeconfig("jane", nil), Port: port})
		return err
	}
	if err := open(port); err == nil || !strings.Contains(err.Error(), "cannot listen on port") {
		t.Errorf("a port in use: %v", err)
	}
	r.link("jane")
	if err := open(port); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("is served on port %d already", r.port)) {
		t.Errorf("another port: %v", err)
	}
	if err := open(r.port); err != nil {
		t.Errorf("the same port: %v", err)
	}
}

func TestPathsWithDotsAreRefused(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for _, target := range []string{
		"/api/kubernetes/%2e%2e/%2e%2e/version", "/api/metrics/api/v1/%2e%2e/%2e%2e/%2e%2e/down", "/api/metrics/api/v1/..%2f..%2f..%2fdown",
		"/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2findex.html", "/api/kubernetes/api/v1/namespaces/%2e%2e/pods",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if response := b.ask(method, target, "", nil); response.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s: %s", method, target, response.Status)
			}
		}
	}
	if target := (&url.URL{Path: "/assets/../index.html"}).String(); b.ask(http.MethodGet, target, "", nil).StatusCode == http.StatusOK {
		t.Errorf("%s is served", target)
	}
}

func TestAPageRedirectsToTheLinkUntilItIsUsed(t *testing.T) {
	r := newRig(t)
	open := func(path string) (daemonapi.DashboardLink, error) {
		return r.Open(t.Context(), daemonapi.DashboardRequest{Kubeconfig: r.kubeconfig("jane", nil), Page: path})
	}
	path := filepath.Join(t.TempDir(), "skiff.html")
	link, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(content), `content="0; url=`+link.URL+`"`) {
		t.Errorf("%s, %v", content, err)
	}
	if info, err := os.Stat(path); err != nil {
		t.Error(err)
	} else if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := open(path); err == nil {
		t.Error("a page that exists was overwritten")
	}
	for _, wrong := range []string{"skiff.html", filepath.Join(t.TempDir(), ".bashrc"), filepath.Join(t.TempDir(), "none", "skiff.html")} {
		if _, err := open(wrong); err == nil {
			t.Errorf("%s was written", wrong)
		}
	}
	parsed, err := url.Parse(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	if r.port, err = strconv.Atoi(parsed.Port()); err != nil {
		t.Fatal(err)
	}
	// As a browser does that opens the page from a file, which has no origin.
	response := r.send(http.MethodGet, parsed.RequestURI(), "", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}})
	if response.StatusCode != http.StatusSeeOther {
		t.Errorf("the link: %s", response.Status)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the page is still there: %v", err)
	}
	unused := filepath.Join(t.TempDir(), "skiff.html")
	if _, err := open(unused); err != nil {
		t.Fatal(err)
	}
	if _, err := open(unused); err == nil {
		t.Error("a page that exists was overwritten")
	}
	r.sessions.sweep(time.Now().Add(inviteLife))
	if _, err := os.Stat(unused); !os.IsNotExist(err) {
		t.Errorf("the page of a link that has expired is still there: %v", err)
	}
}
