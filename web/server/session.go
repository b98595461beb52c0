package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// How long links and sessions last.
const (
	inviteLife  = time.Minute
	sessionIdle = time.Hour
	sessionLife = 12 * time.Hour
	// rightLife is how long an answer to what a user may do is used.
	rightLife = time.Minute
)

// maxInvites and maxSessions bound the links and sessions; a new one replaces the oldest.
const (
	maxInvites  = 16
	maxSessions = 16
)

// identity is the user that a session acts as.
type identity struct {
	user   string
	groups []string
	client *kube.Client
	kube.Connection
	ports *kube.Forwarder
}

// userAgent is this program's name to the API server, and the manager of the fields
// that it changes.
const userAgent = "skiff-dashboard"

// identify asks the API server who the user of a kubeconfig is.
func identify(ctx context.Context, cluster string, kubeconfig []byte) (identity, error) {
	if err := checkKubeconfig(kubeconfig); err != nil {
		return identity{}, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return identity{}, &daemonapi.Failure{Cause: fmt.Sprintf("invalid kubeconfig: %v", err), Invalid: true}
	}
	config.UserAgent = userAgent
	who := identity{ports: &kube.Forwarder{}}
	if who.client, err = kube.ForConfig(cluster, config, who.ports); err != nil {
		return identity{}, err
	}
	if who.Connection, err = who.client.Connection(); err != nil {
		return identity{}, err
	}
	who.user, who.groups, err = who.client.Whoami(ctx)
	switch {
	case apierrors.IsUnauthorized(err):
		return identity{}, &daemonapi.Failure{
			Cause: fmt.Sprintf("cluster %q does not accept these credentials", cluster), Invalid: true,
			Hint: "they may have expired, or belong to another cluster",
		}
	case apierrors.IsForbidden(err):
		return identity{}, &daemonapi.Failure{Cause: kube.Reason(err), Invalid: true}
	case err != nil:
		return identity{}, &daemonapi.Failure{
			Cause: fmt.Sprintf("the API server of cluster %q does not answer: %s", cluster, kube.Reason(err)),
			Hint:  fmt.Sprintf("see `skiff status %s`", cluster),
		}
	}
	return who, nil
}

// administrator reports whether the identity is a cluster's administrator, which only
// the owner of all clusters on this host can be.
func (i identity) administrator() bool { return slices.Contains(i.groups, names.GroupClusterAdmins) }

// session is a browser that has logged in.
type session struct {
	identity
	csrf   string
	expiry time.Time // at the latest

	mu     sync.Mutex // guards the fields below
	used   time.Time
	active int // requests that are being answered
	rights map[authorizationv1.ResourceAttributes]right
	ended  bool
	stops  map[int]func() // end what was started in the session
	next   int
}

// right is the API server's answer to whether a user may do something.
type right struct {
	allowed bool
	at      time.Time
}

// begin marks the session as used while a request is answered, until done is called.
func (s *session) begin() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active--
		s.used = time.Now()
	}
}

// over reports whether the session has ended.
func (s *session) over(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended || !now.Before(s.expiry) || s.active == 0 && now.Sub(s.used) >= sessionIdle
}

// may reports whether the session's user may do something with all objects of a
// resource.
func (s *session) may(ctx context.Context, attributes authorizationv1.ResourceAttributes) bool {
	s.mu.Lock()
	known, ok := s.rights[attributes]
	s.mu.Unlock()
	if ok && time.Since(known.at) < rightLife {
		return known.allowed
	}
	allowed, err := s.client.Allowed(ctx, attributes)
	if err != nil {
		return ok && known.allowed // without an answer, the last one counts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rights == nil {
		s.rights = map[authorizationv1.ResourceAttributes]right{}
	}
	s.rights[attributes] = right{allowed, time.Now()}
	return allowed
}

// onEnd calls stop when the session ends, at once if it has ended, unless release is
// called before.
func (s *session) onEnd(stop func()) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		stop()
		return func() {}
	}
	if s.stops == nil {
		s.stops = map[int]func(){}
	}
	s.next++
	id := s.next
	s.stops[id] = stop
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.stops, id)
	}
}

// close ends the session with all that it started.
func (s *session) close() {
	s.mu.Lock()
	stops := s.stops
	s.ended, s.stops = true, nil
	s.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	for _, transport := range []http.RoundTripper{s.Transport, s.Upgrader} {
		utilnet.CloseIdleConnectionsFor(transport)
	}
}

// key is the hash under which a secret is kept, so that the time of a lookup reveals
// nothing about other secrets.
type key [sha256.Size]byte

func keyOf(secret string) key { return sha256.Sum256([]byte(secret)) }

// newSecret returns 256 random bits in base64.
func newSecret() string {
	var content [32]byte
	_, _ = rand.Read(content[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(content[:])
}

// invitation is a link that has not been used yet.
type invitation struct {
	identity
	page   string // a file that redirects to the link; "" if there is none
	expiry time.Time
}

// removePage removes the page that redirects to the link, if there is one.
func (i invitation) removePage() {
	if i.page != "" {
		_ = os.Remove(i.page) // the user may have removed it
	}
}

// sessions holds all links and sessions. The zero value is ready to use.
type sessions struct {
	mu      sync.Mutex // guards the fields below
	invited map[key]invitation
	open    map[key]*session
}

// invite returns the secret of a new link. The page that redirects to it, if any, is
// removed when the link can no longer be used.
func (s *sessions) invite(who identity, page string, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.invited == nil {
		s.invited, s.open = map[key]invitation{}, map[key]*session{}
	}
	if len(s.invited) >= maxInvites {
		first := oldest(s.invited, func(i invitation) time.Time { return i.expiry })
		s.invited[first].removePage()
		delete(s.invited, first)
	}
	token := newSecret()
	s.invited[keyOf(token)] = invitation{who, page, now.Add(inviteLife)}
	return token
}

// withdraw removes a link whose page could not be written.
func (s *sessions) withdraw(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.invited, keyOf(token))
}

// oldest returns the key of the entry that expires first.
func oldest[T any](entries map[key]T, expiry func(T) time.Time) key {
	return slices.MinFunc(slices.Collect(maps.Keys(entries)), func(a, b key) int {
		return expiry(entries[a]).Compare(expiry(entries[b]))
	})
}

// redeem consumes a link and returns the secret of a new session.
func (s *sessions) redeem(token string, now time.Time) (cookie string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := keyOf(token)
	invited, ok := s.invited[k]
	delete(s.invited, k)
	invited.removePage()
	if !ok || !now.Before(invited.expiry) {
		return "", false
	}
	if len(s.open) >= maxSessions {
		first := oldest(s.open, func(one *session) time.Time { return one.expiry })
		s.open[first].close()
		delete(s.open, first)
	}
	cookie = newSecret()
	s.open[keyOf(cookie)] = &session{identity: invited.identity, csrf: newSecret(), expiry: now.Add(sessionLife), used: now}
	return cookie, true
}

// find returns the session with a secret, or nil if it does not exist or is over.
func (s *sessions) find(cookie string, now time.Time) *session {
	s.mu.Lock()
	found := s.open[keyOf(cookie)]
	s.mu.Unlock()
	if found == nil || found.over(now) {
		return nil
	}
	return found
}

// remove ends the session with a secret.
func (s *sessions) remove(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.open[keyOf(cookie)]; found != nil {
		found.close()
		delete(s.open, keyOf(cookie))
	}
}

// sweep removes expired links and sessions and returns how many are left.
func (s *sessions) sweep(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, i := range s.invited {
		if !now.Before(i.expiry) {
			i.removePage()
			delete(s.invited, k)
		}
	}
	for k, one := range s.open {
		if one.over(now) {
			one.close()
			delete(s.open, k)
		}
	}
	return len(s.invited) + len(s.open)
}

// clear removes all links and ends all sessions.
func (s *sessions) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, link := range s.invited {
		link.removePage()
	}
	clear(s.invited)
	for _, one := range s.open {
		one.close()
	}
	clear(s.open)
}
