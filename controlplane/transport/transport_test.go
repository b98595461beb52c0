package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/skiff-dev/skiff/controlplane/transport"
)

var alice = &user.DefaultInfo{Name: "alice", Groups: []string{"system:authenticated"}}

func client(h http.HandlerFunc) *http.Client {
	s := transport.NewServer()
	s.Serve(h)
	return &http.Client{Transport: s.As(alice)}
}

func TestRequestCarriesItsIdentityAndLooksLikeAServerRequest(t *testing.T) {
	c := client(func(w http.ResponseWriter, r *http.Request) {
		u, ok := transport.Identity(r.Context())
		if !ok {
			t.Error("no identity")
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", "yes")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %s %s host=%s %s", u.GetName(), r.Method, r.RequestURI, r.URL.String(), r.Host, body)
	})
	response, err := c.Post("http://cluster/api/v1/pods?limit=5", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, _ := io.ReadAll(response.Body)
	want := "alice POST /api/v1/pods?limit=5 /api/v1/pods?limit=5 host=cluster hello"
	if response.StatusCode != http.StatusCreated || string(got) != want || response.Header.Get("X-Seen") != "yes" {
		t.Fatalf("got %d %q", response.StatusCode, got)
	}
}

func TestRequestFromElsewhereHasNoIdentity(t *testing.T) {
	if _, ok := transport.Identity(t.Context()); ok {
		t.Fatal("a plain context has an identity")
	}
}

// An admission plugin asks the server while the server serves a request, and with
// that request's context. Over a wire nothing of it would arrive.
func TestRequestWithinARequestIsOneOfItsOwn(t *testing.T) {
	type outer struct{}
	c := client(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(outer{}) != nil {
			t.Error("the handler sees a value of the client's context")
		}
		if u, ok := transport.Identity(r.Context()); !ok || u.GetName() != "alice" {
			t.Error("the handler does not see who asks")
		}
	})
	request, err := http.NewRequestWithContext(context.WithValue(t.Context(), outer{}, "audit event"), http.MethodGet, "http://cluster/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

func TestRequestWaitsForTheHandler(t *testing.T) {
	s := transport.NewServer()
	c := &http.Client{Transport: s.As(alice)}
	done := make(chan error)
	go func() {
		response, err := c.Get("http://cluster/")
		if err == nil {
			response.Body.Close()
		}
		done <- err
	}()
	s.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestCancelEndsARequestThatWaitsForTheHandler(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://cluster/", strings.NewReader("x"))
	_, err := transport.NewServer().As(alice).RoundTrip(request)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestWatchStreamsEventByEvent(t *testing.T) {
	next := make(chan string)
	c := client(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for event := range next {
			fmt.Fprintln(w, event)
			w.(http.Flusher).Flush()
		}
	})
	response, err := c.Get("http://cluster/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		next <- fmt.Sprint("event ", i)
		if !lines.Scan() || lines.Text() != fmt.Sprint("event ", i) {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
	}
	close(next)
	if lines.Scan() || lines.Err() != nil {
		t.Fatalf("after the end: %q, %v", lines.Text(), lines.Err())
	}
}

func TestClosingTheBodyEndsTheHandlersContext(t *testing.T) {
	ended := make(chan struct{})
	c := client(func(w http.ResponseWriter, r *http.Request) {
		gone := w.(http.CloseNotifier).CloseNotify() //nolint:staticcheck // the API server's filters look for it
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		<-gone
		if _, err := w.Write([]byte("late")); err == nil {
			t.Error("a write after the reader left succeeded")
		}
		close(ended)
	})
	response, err := c.Get("http://cluster/watch")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	<-ended
}

func TestCancelReachesHandlerAndReader(t *testing.T) {
	ended := make(chan struct{})
	c := client(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://cluster/watch", nil)
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	if _, err := io.ReadAll(response.Body); !errors.Is(err, context.Canceled) {
		t.Fatalf("reader got %v", err)
	}
	<-ended
}

func TestCancelBeforeTheHeaderIsTheRequestsError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	c := client(func(http.ResponseWriter, *http.Request) {
		cancel()
		<-release
	})
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://cluster/", nil)
	if _, err := c.Do(request); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestPanicStaysInItsRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		value  any
		header bool
		want   string
	}{
		"abort before the header": {http.ErrAbortHandler, false, "aborted the response"},
		"abort after the header":  {http.ErrAbortHandler, true, "aborted the response"},
		"panic before the header": {"boom", false, "the server panicked: boom"},
		"panic after the header":  {"boom", true, "the server panicked: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(func(w http.ResponseWriter, _ *http.Request) {
				if tt.header {
					fmt.Fprint(w, "half")
				}
				panic(tt.value)
			})
			response, err := c.Get("http://cluster/")
			if err == nil {
				_, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestSlowReaderBoundsTheBuffer(t *testing.T) {
	const total = 16 << 20
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	var mu sync.Mutex
	written := 0
	c := client(func(w http.ResponseWriter, _ *http.Request) {
		for range total / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			written += len(chunk)
			mu.Unlock()
		}
	})
	response, err := c.Get("http://cluster/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read := 0
	buffer := make([]byte, 100<<10)
	for {
		n, err := response.Body.Read(buffer)
		read += n
		mu.Lock()
		ahead := written - read
		mu.Unlock()
		if ahead > 1<<20 {
			t.Fatalf("the handler is %d bytes ahead", ahead)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if read != total {
		t.Fatalf("read %d of %d bytes", read, total)
	}
}

func TestManyRequestsAtOnceLeaveNoGoroutines(t *testing.T) {
	c := client(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		fmt.Fprint(w, "ok")
	})
	before := runtime.NumGoroutine()
	var wait sync.WaitGroup
	for range 200 {
		wait.Go(func() {
			response, err := c.Get("http://cluster/")
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if got, err := io.ReadAll(response.Body); err != nil || string(got) != "ok" || response.ContentLength != 2 {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wait.Wait()
	for runtime.NumGoroutine() > before {
		runtime.Gosched()
	}
}

func TestWarningsForUsersAreNotLogged(t *testing.T) {
	var log bytes.Buffer
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	t.Cleanup(func() {
		klog.LogToStderr(true)
		klog.SetOutput(io.Discard)
	})
	s := transport.NewServer()
	s.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Warning", `299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"`)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"Endpoints","apiVersion":"v1"}`)
	}))
	for name, config := range map[string]*rest.Config{"component": s.Client(alice), "API server": s.Loopback()} {
		clients, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().Endpoints("default").Get(t.Context(), "kubernetes", metav1.GetOptions{}); err != nil { //nolint:staticcheck // see above
			t.Fatal(err)
		}
		klog.Flush()
		if log.Len() > 0 {
			t.Errorf("%s: logged %s", name, log.String())
		}
	}
}
