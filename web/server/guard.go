package server

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Paths.
const (
	pathLogin      = "/login"
	pathAssets     = "/assets/"
	pathAPI        = "/api/"
	pathKubernetes = "/api/kubernetes"
)

// headerCSRF carries the session's token in requests that change something. A page of
// another origin can neither read the token nor set the header.
const headerCSRF = "X-Skiff-CSRF"

// problem is the body of a failure.
type problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func fail(w http.ResponseWriter, status int, message, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{message, hint})
}

// guard admits only requests that this server's own pages send to it.
type guard struct {
	hosts []string // values of Host that mean this server
	next  http.Handler
}

// newGuard guards a server on a port of this host, which is known by several names.
func newGuard(port int, names []string, next http.Handler) guard {
	g := guard{next: next}
	for _, name := range names {
		if port == 80 { // browsers leave it out
			g.hosts = append(g.hosts, name)
		}
		g.hosts = append(g.hosts, net.JoinHostPort(name, strconv.Itoa(port)))
	}
	return g
}

func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	host := g.host(r)
	if host == "" {
		fail(w, http.StatusMisdirectedRequest, "this server is not "+strconv.Quote(r.Host), "open the link that `skiff dashboard` prints")
		return
	}
	for segment := range strings.SplitSeq(r.URL.Path, "/") { // decoded: "%2e%2e" as well
		if segment == ".." || segment == "." {
			fail(w, http.StatusBadRequest, "the path contains dots", "")
			return
		}
	}
	if message := foreign(r, host); message != "" {
		fail(w, http.StatusForbidden, message, "")
		return
	}
	g.next.ServeHTTP(w, r)
}

// host returns the name by which the request addresses this server, or "".
func (g guard) host(r *http.Request) string {
	for _, host := range g.hosts {
		if strings.EqualFold(r.Host, host) {
			return host
		}
	}
	return ""
}

// foreign returns why a request does not come from this server's own pages or from
// the address bar, or "".
func foreign(r *http.Request, host string) string {
	if origin := r.Header.Get("Origin"); origin != "" && !strings.EqualFold(origin, "http://"+host) {
		return "requests of other sites are not allowed"
	}
	if upgrade(r) && r.Header.Get("Origin") == "" {
		return "a WebSocket needs the header Origin"
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
		return ""
	default:
		// Links elsewhere may lead here: the page itself holds no data.
		if r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
			!strings.HasPrefix(r.URL.Path, pathAPI) {
			return ""
		}
		return "requests of other sites are not allowed"
	}
}

// upgrade reports whether a request wants to change the protocol of its connection.
func upgrade(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// safe reports whether a method only reads.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// sessionHandler answers a request of a session. The request's context ends with it.
type sessionHandler func(w http.ResponseWriter, r *http.Request, session *session)

// authenticated admits requests of sessions only, and those that change something
// only with the session's token.
func (s *Server) authenticated(port int, next sessionHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var found *session
		if cookie, err := r.Cookie(cookieName(port)); err == nil {
			found = s.sessions.find(cookie.Value, time.Now())
		}
		if found == nil {
			fail(w, http.StatusUnauthorized, "you are not logged in", fmt.Sprintf("run `skiff dashboard %s` for a new link", s.config.Cluster))
			return
		}
		token := r.Header.Get(headerCSRF)
		if !safe(r.Method) && subtle.ConstantTimeCompare([]byte(token), []byte(found.csrf)) != 1 {
			fail(w, http.StatusForbidden, "the header "+headerCSRF+" is missing or wrong", "reload the page")
			return
		}
		defer found.begin()()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer found.onEnd(cancel)()
		next(w, r.WithContext(ctx), found)
	}
}

// cookieName is the name of the session's cookie. Cookies are common to all ports of a
// host, so the dashboards of several clusters need different names.
func cookieName(port int) string { return "skiff-dashboard-" + strconv.Itoa(port) }

// login exchanges a link's token for a session.
func (s *Server) login(port int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		prefetch := r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") != ""
		if r.Method != http.MethodGet || prefetch {
			fail(w, http.StatusForbidden, "open this link in a window", "")
			return
		}
		cookie, ok := s.sessions.redeem(r.URL.Query().Get("token"), time.Now())
		if !ok {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, "This link was used already, or is older than a minute.\nRun \"skiff dashboard %s\" for a new one.\n", s.config.Cluster)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: cookieName(port), Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
	}
}
