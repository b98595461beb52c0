package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func ask(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := get(t.Context(), args, &out)
	return out.String(), err
}

func TestHealthIsSwitchedOverHTTP(t *testing.T) {
	web := httptest.NewServer((&server{}).handler())
	defer web.Close()
	for _, path := range []string{"/healthz", "/readyz"} {
		if out, err := ask(t, web.URL+path); err != nil || out != "ok\n" {
			t.Fatalf("GET %s at first: %q, %v", path, out, err)
		}
		if _, err := ask(t, "-method", "POST", web.URL+path+"/off"); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t, web.URL+path); err == nil || !strings.Contains(err.Error(), "503") {
			t.Fatalf("GET %s switched off: %v", path, err)
		}
		if _, err := ask(t, "-method", "POST", web.URL+path+"/on"); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t, web.URL+path); err != nil {
			t.Fatalf("GET %s switched on again: %v", path, err)
		}
	}
}

func TestFilesAreWrittenAndRead(t *testing.T) {
	web := httptest.NewServer((&server{}).handler())
	defer web.Close()
	path := filepath.Join(t.TempDir(), "file")
	target := web.URL + "/file?path=" + url.QueryEscape(path)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, target, strings.NewReader("kept"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if data, err := os.ReadFile(path); err != nil || string(data) != "kept" {
		t.Fatalf("written %q, %v", data, err)
	}
	if out, err := ask(t, target); err != nil || out != "kept" {
		t.Fatalf("read %q, %v", out, err)
	}
	if _, err := ask(t, target+"-missing"); err == nil {
		t.Fatal("a missing file was read")
	}
}

func TestGetAsksAsOftenAsTold(t *testing.T) {
	web := httptest.NewServer((&server{}).handler())
	defer web.Close()
	t.Setenv("WORKLOAD_VERSION", "7")
	if out, err := ask(t, "-n", "3", web.URL+"/version"); err != nil || out != "7\n7\n7\n" {
		t.Fatalf("%q, %v", out, err)
	}
}

func TestExitEndsTheProgramWithTheCode(t *testing.T) {
	code := -1
	web := httptest.NewServer((&server{exit: func(c int) { code = c }}).handler())
	defer web.Close()
	if _, err := ask(t, "-method", "POST", web.URL+"/exit/3"); err != nil || code != 3 {
		t.Fatalf("code %d, %v", code, err)
	}
}

func TestWatchCountsFailures(t *testing.T) {
	asked := 0
	ctx, cancel := context.WithCancel(t.Context())
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		if asked == 4 {
			cancel()
		}
	}))
	defer web.Close()
	var out bytes.Buffer
	if err := watch(ctx, []string{"-interval", time.Nanosecond.String(), web.URL}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "requests=3 failures=1") {
		t.Fatal(out.String())
	}
}

func TestNoticePrintsChanges(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	go func() { in.CloseWithError(notice(ctx, []string{dir}, in)) }()
	lines := bufio.NewScanner(out)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q instead of %q, %v", lines.Text(), want, lines.Err())
		}
	}
	next("watching " + dir)
	if err := os.Mkdir(filepath.Join(dir, "new"), 0o755); err != nil {
		t.Fatal(err)
	}
	next("CREATE new")
	if err := os.Remove(filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	next("REMOVE new")
}

func TestEventsAndMessagesArriveOneByOne(t *testing.T) {
	web := httptest.NewServer((&server{}).handler())
	defer web.Close()
	response, err := http.Get(web.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	events := bufio.NewScanner(response.Body)
	if !events.Scan() || events.Text() != "data: 1" {
		t.Errorf("the first event is %q, %v", events.Text(), events.Err())
	}

	conn, answer, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(web.URL, "http", "ws", 1)+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	defer func() { _ = conn.Close() }()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.ReadMessage(); err != nil || string(message) != "hello" {
		t.Errorf("the echo is %q, %v", message, err)
	}
}

func TestUnknownCommandIsRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"serv"}, {"get"}, {"dial", "tcp"}, {"notice"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
