package leadership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// leases is an API server that knows one namespace and one lease.
type leases struct {
	mu    sync.Mutex // guards lease and forbid
	lease *coordinationv1.Lease
	// forbid turns away that many requests first, as before roles exist.
	forbid int
}

func (l *leases) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	status := func(code int, reason metav1.StatusReason) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Reason: reason, Code: int32(code)})
	}
	switch {
	case l.forbid > 0:
		l.forbid--
		status(http.StatusForbidden, metav1.StatusReasonForbidden)
	case strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/"):
		fmt.Fprint(w, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-system"}}`)
	case r.Method == http.MethodGet && l.lease == nil:
		status(http.StatusNotFound, metav1.StatusReasonNotFound)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(l.lease)
	default:
		l.lease = &coordinationv1.Lease{}
		_ = json.NewDecoder(r.Body).Decode(l.lease)
		l.lease.APIVersion, l.lease.Kind = "coordination.k8s.io/v1", "Lease"
		_ = json.NewEncoder(w).Encode(l.lease)
	}
}

func (l *leases) holder() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == nil || l.lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.lease.Spec.HolderIdentity
}

func (l *leases) client(t *testing.T) *rest.Config {
	t.Helper()
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"}}
}

func TestLeaseIsHeldWhileLeadingAndGivenBackAfterwards(t *testing.T) {
	api := &leases{forbid: 2}
	ctx, cancel := context.WithCancel(t.Context())
	ended := false
	err := Run(ctx, Settings{Client: api.client(t), Name: "one", Alone: alone, Lead: func(leading context.Context) error {
		if got := api.holder(); got != "one" {
			t.Errorf("held by %q", got)
		}
		cancel()
		<-leading.Done()
		if got := api.holder(); got != "one" {
			t.Errorf("given back to %q while still at work", got)
		}
		ended = true
		return nil
	}})
	if err != nil || !ended || api.holder() != "" {
		t.Fatalf("err %v, ended %v, held by %q", err, ended, api.holder())
	}
}

func TestAnErrorOfThePartsEndsLeading(t *testing.T) {
	api := &leases{}
	broken := errors.New("broken")
	err := Run(t.Context(), Settings{Client: api.client(t), Name: "one", Alone: alone, Lead: func(context.Context) error { return broken }})
	if !errors.Is(err, broken) || api.holder() != "" {
		t.Fatalf("err %v, held by %q", err, api.holder())
	}
}

func TestANodeTakesItsOwnLeaseUpAtOnce(t *testing.T) {
	name, seconds, now := "one", int32(3600), metav1.NowMicro()
	api := &leases{lease: &coordinationv1.Lease{
		TypeMeta:   metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{Name: Lease, Namespace: Namespace, ResourceVersion: "1"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}}
	ctx, cancel := context.WithCancel(t.Context())
	led := false
	if err := Run(ctx, Settings{Client: api.client(t), Name: name, Alone: alone, Lead: func(context.Context) error {
		led = true
		cancel()
		return nil
	}}); err != nil || !led {
		t.Fatalf("err %v, led %v", err, led)
	}
}

func TestAWaitingNodeStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Run(ctx, Settings{Client: (&leases{forbid: 1 << 30}).client(t), Name: "two", Alone: alone, Lead: func(context.Context) error {
		t.Error("led without the lease")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func alone() bool { return true }

func (l *leases) seconds() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == nil || l.lease.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return *l.lease.Spec.LeaseDurationSeconds
}

func TestLeaseFollowsTheNumberOfControlPlanesWhileLeadingGoesOn(t *testing.T) {
	api := &leases{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var alone atomic.Bool
	alone.Store(true)
	starts := 0
	err := Run(ctx, Settings{Client: api.client(t), Name: "one", Alone: alone.Load, Lead: func(leading context.Context) error {
		starts++
		for _, want := range []int32{600, 4, 600} {
			alone.Store(want == 600)
			for deadline := time.Now().Add(time.Minute); api.seconds() != want; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) || leading.Err() != nil {
					t.Errorf("lease of %d s, want %d; leading: %v", api.seconds(), want, leading.Err())
					break
				}
			}
		}
		cancel()
		<-leading.Done()
		return nil
	}})
	if err != nil || starts != 1 || api.holder() != "" {
		t.Fatalf("err %v, led %d times, held by %q", err, starts, api.holder())
	}
}

func TestTakeoverIsQuickWhereSomebodyCanTakeOver(t *testing.T) {
	if got := (Settings{}).timing(false); got.lease > 5*time.Second || got.renew >= got.lease || got.retry >= got.renew {
		t.Fatalf("%+v", got)
	}
}

func TestEmulatedMachinesGetMoreTime(t *testing.T) {
	fast, slow := (Settings{}).timing(false), (Settings{Emulated: true}).timing(false)
	if slow.renew < 4*fast.renew || slow.renew >= slow.lease || slow.retry >= slow.renew {
		t.Fatalf("%+v, and emulated %+v", fast, slow)
	}
}
