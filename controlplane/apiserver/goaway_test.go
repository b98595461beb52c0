package apiserver

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A client with one HTTP/2 connection has a request in flight when the server
// begins to stop. That request completes, and the next uses another connection.
func TestAStoppingServerMakesClientsReconnectAndAbortsNothing(t *testing.T) {
	stopping, waiting, answer := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	from := map[string]string{}
	server := httptest.NewUnstartedServer(goAway(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.URL.Path] = r.RemoteAddr
		mu.Unlock()
		if r.URL.Path == "/slow" {
			close(waiting)
			<-answer
		}
	}), stopping))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	get := func(path string) {
		response, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		_ = response.Body.Close()
		if response.ProtoMajor != 2 {
			t.Errorf("%s: %s", path, response.Proto)
		}
	}
	var slow sync.WaitGroup
	slow.Go(func() { get("/slow") })
	<-waiting
	get("/before")
	close(stopping)
	get("/last")
	get("/next")
	close(answer)
	slow.Wait()
	if from["/before"] != from["/slow"] || from["/last"] != from["/slow"] {
		t.Errorf("the client has several connections before it was told to reconnect: %v", from)
	}
	if from["/next"] == from["/last"] {
		t.Errorf("the client was not told to reconnect: %v", from)
	}
}

func TestAStoppingServerKeepsUpgradedConnections(t *testing.T) {
	stopping := make(chan struct{})
	close(stopping)
	for header, want := range map[string]string{"": "close", "Upgrade": ""} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Connection", header)
		w := httptest.NewRecorder()
		goAway(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), stopping).ServeHTTP(w, r)
		if got := w.Header().Get("Connection"); got != want {
			t.Errorf("Connection %q is answered with %q, want %q", header, got, want)
		}
	}
}
