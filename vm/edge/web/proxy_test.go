package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// echo answers with what it received.
func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s host=%s\n", r.Proto, r.Method, r.RequestURI, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(w, "%s: %s\n", name, strings.Join(r.Header[name], ","))
	}
	_, _ = io.Copy(w, r.Body)
}

func TestServiceAnswersByItsName(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", http.HandlerFunc(echo))
	c.serve(t, "secure", "https", http.HandlerFunc(echo))
	client := r.client(t)
	port, securePort := fmt.Sprint(r.ports.HTTP), fmt.Sprint(r.ports.HTTPS)
	expect(t, client, r.url("web.default.dev.localhost")+"/a%2Fb?x=1;y=2", 200,
		"HTTP/1.1 GET /a%2Fb?x=1;y=2 host=web.default.dev.localhost:"+port, "X-Forwarded-For: 127.0.0.1\n",
		"X-Forwarded-Proto: http\n", "X-Forwarded-Port: "+port, "X-Forwarded-Host: web.default.dev.localhost:"+port)
	expect(t, client, r.url("80.web.default.dev.localhost"), 200, "HTTP/1.1")
	expect(t, client, r.turl("web.default.dev.localhost"), 200, "X-Forwarded-Proto: https", "X-Forwarded-Port: "+securePort)
	expect(t, client, r.turl("secure.default.dev.localhost"), 200, "HTTP/2.0 GET / ")
}

func TestAnswersNameTheirServer(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "silent", "", says("hello"))
	c.serve(t, "named", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "own") }))
	client := r.client(t)
	for name, want := range map[string]string{"silent": "skiff", "named": "own"} {
		response, err := client.Get(r.url(name + ".default.dev.localhost"))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header["Server"]; !slices.Equal(got, []string{want}) {
			t.Errorf("server of %s: %q, want %q", name, got, want)
		}
	}
}

func TestHeadersOfTheConnectionAndForgedOnesAreRemoved(t *testing.T) {
	r := newRig(t)
	r.start(t, "dev").serve(t, "web", "", http.HandlerFunc(echo))
	_, body := get(t, r.client(t), r.url("web.default.dev.localhost"),
		"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Prefix", "/x", "X-Real-Ip", "192.0.2.1", "Forwarded", "for=192.0.2.1",
		"X-Forwarded-Proto", "https", "Connection", "X-Hop", "X-Hop", "secret", "Te", "gzip", "Proxy", "evil", "X-Kept", "kept")
	for _, absent := range []string{"192.0.2.1", "X-Forwarded-Prefix", "X-Real-Ip", "Forwarded:", "https", "X-Hop", "Te:", "Proxy:", "User-Agent: Go"} {
		if absent != "User-Agent: Go" && strings.Contains(body, absent) {
			t.Errorf("the backend received %q:\n%s", absent, body)
		}
	}
	if !strings.Contains(body, "X-Kept: kept") {
		t.Errorf("a header is missing:\n%s", body)
	}
}

func TestHTTP2AndHTTP1AreServed(t *testing.T) {
	r := newRig(t)
	r.start(t, "dev").serve(t, "web", "", says("hello"))
	for _, two := range []bool{true, false} {
		client := r.client(t)
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = two
		response, err := client.Get(r.turl("web.default.dev.localhost"))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if (response.ProtoMajor == 2) != two || response.StatusCode != 200 {
			t.Errorf("%s, %s", response.Proto, response.Status)
		}
	}
}

func TestServerSentEventsArriveAtOnce(t *testing.T) {
	r := newRig(t)
	next, gone := make(chan string), make(chan struct{})
	r.start(t, "dev").serve(t, "web", "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			_ = http.NewResponseController(w).Flush()
			select {
			case event := <-next:
				fmt.Fprintf(w, "data: %s\n\n", event)
			case <-r.Context().Done():
				gone <- struct{}{}
				return
			}
		}
	}))
	for _, url := range []string{r.url("web.default.dev.localhost"), r.turl("web.default.dev.localhost")} {
		response, err := r.client(t).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		events := bufio.NewScanner(response.Body)
		for _, event := range []string{"one", "two", "three"} {
			next <- event
			if !events.Scan() || events.Text() != "data: "+event || !events.Scan() {
				t.Fatalf("%q, %v", events.Text(), events.Err())
			}
		}
		_ = response.Body.Close()
		<-gone // the backend learns that its client is gone
	}
}

func TestBodyIsStreamedBothWays(t *testing.T) {
	r := newRig(t)
	r.start(t, "dev").serve(t, "web", "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_ = http.NewResponseController(w).Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "%s!\n", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
	}))
	body, lines := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.turl("web.default.dev.localhost"), body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := r.client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answers := bufio.NewScanner(response.Body)
	for i := range 3 {
		fmt.Fprintf(lines, "line %d\n", i)
		if !answers.Scan() || answers.Text() != fmt.Sprintf("line %d!", i) {
			t.Fatalf("%q, %v", answers.Text(), answers.Err())
		}
	}
	_ = lines.Close()
	if answers.Scan() {
		t.Errorf("more: %q", answers.Text())
	}
}

func TestWebSocketsPass(t *testing.T) {
	r := newRig(t)
	talk := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, append([]byte("echo "), message...)) != nil {
				return
			}
		}
	})
	first := r.start(t, "dev")
	first.serve(t, "web", "", talk)
	first.serve(t, "secure", "https", talk)
	r.start(t, "ci").serve(t, "web", "", talk)
	dialer := websocket.Dialer{NetDialContext: r.dialEntry, TLSClientConfig: &tls.Config{RootCAs: r.roots(t)}}
	for _, url := range []string{
		r.url("web.default.dev.localhost"), r.turl("web.default.dev.localhost"), r.url("secure.default.dev.localhost"), r.turl("web.default.ci.localhost"),
	} {
		conn, _, err := dialer.DialContext(t.Context(), strings.Replace(url, "http", "ws", 1), nil)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		for i := range 3 {
			message := fmt.Sprint("message ", i)
			if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
				t.Error(err)
			}
			if _, got, err := conn.ReadMessage(); err != nil || string(got) != "echo "+message {
				t.Errorf("%s: %q, %v", url, got, err)
			}
		}
		_ = conn.Close()
	}
}

// echoService is a gRPC service.
type echoService struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (echoService) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if r.ResponseStatus != nil {
		return nil, status.Error(codes.Code(r.ResponseStatus.Code), r.ResponseStatus.Message)
	}
	return &grpc_testing.SimpleResponse{Payload: r.Payload}, nil
}

func (echoService) FullDuplexCall(stream grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: request.Payload}); err != nil {
			return err
		}
	}
}

// serveEcho serves echoService. It returns the server and its address.
func serveEcho(t *testing.T) (*grpc.Server, string) {
	t.Helper()
	server := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, echoService{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return server, listener.Addr().String()
}

func TestGRPCPasses(t *testing.T) {
	r := newRig(t)
	_, address := serveEcho(t)
	dev := r.start(t, "dev")
	dev.serveAt(t, "declared", "kubernetes.io/h2c", address)
	dev.serveAt(t, "undeclared", "", address)
	r.start(t, "ci").serveAt(t, "declared", "grpc", address)
	for _, host := range []string{"declared.default.dev.localhost", "undeclared.default.dev.localhost", "declared.default.ci.localhost"} {
		for _, encrypted := range []bool{true, false} {
			t.Run(fmt.Sprint(host, encrypted), func(t *testing.T) { r.callGRPC(t, host, encrypted) })
		}
	}
}

func (r *rig) callGRPC(t *testing.T, host string, encrypted bool) {
	client := grpc_testing.NewTestServiceClient(r.dialGRPC(t, host, encrypted))
	payload := &grpc_testing.Payload{Body: []byte(strings.Repeat("x", 100_000))}
	answer, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{Payload: payload})
	if err != nil || len(answer.Payload.Body) != len(payload.Body) {
		t.Fatalf("call: %v", err)
	}
	_, err = client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{ResponseStatus: &grpc_testing.EchoStatus{Code: int32(codes.DataLoss), Message: "lost"}})
	if status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "lost" {
		t.Errorf("status: %v", err)
	}
	stream, err := client.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: []byte{byte(i)}}}); err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || got.Payload.Body[0] != byte(i) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the stream: %v", err)
	}
}

func (r *rig) dialGRPC(t *testing.T, host string, encrypted bool) *grpc.ClientConn {
	t.Helper()
	port, trust := r.ports.HTTP, insecure.NewCredentials()
	if encrypted {
		port, trust = r.ports.HTTPS, credentials.NewTLS(&tls.Config{RootCAs: r.roots(t)})
	}
	conn, err := grpc.NewClient(fmt.Sprintf("passthrough:///%s:%d", host, port), grpc.WithTransportCredentials(trust),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return r.dialEntry(ctx, "tcp", address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestGRPCCallsOfADeadServerEndAsUnavailable(t *testing.T) {
	r := newRig(t)
	server, address := serveEcho(t)
	r.start(t, "dev").serveAt(t, "web", "grpc", address)
	stream, err := grpc_testing.NewTestServiceClient(r.dialGRPC(t, "web.default.dev.localhost", true)).FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	server.Stop() // closes its connections
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v", err)
	}
}

func TestGRPCClientsGetAStatusInsteadOfAPage(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serveAt(t, "idle", "grpc")
	c.serveAt(t, "closed", "grpc", "127.0.0.1:1")
	for host, want := range map[string]codes.Code{
		"idle.default.dev.localhost": codes.Unavailable, "closed.default.dev.localhost": codes.Unavailable, "nothing.default.dev.localhost": codes.Unimplemented,
	} {
		_, err := grpc_testing.NewTestServiceClient(r.dialGRPC(t, host, true)).EmptyCall(t.Context(), &grpc_testing.Empty{})
		if status.Code(err) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestRequestsAreSpreadOverEndpointsThatAccept(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", says("a"), says("b"), says("c"))
	c.pods.mu.Lock()
	c.pods.at["10.244.0.2:8080"] = "127.0.0.1:1" // the second refuses
	c.pods.mu.Unlock()
	client := r.client(t)
	seen := map[string]int{}
	for range 30 {
		response, err := client.Post(r.url("web.default.dev.localhost"), "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		seen[fmt.Sprint(response.StatusCode, string(body))]++
	}
	if len(seen) != 2 || seen["200a"] < 10 || seen["200c"] < 10 {
		t.Errorf("answers %v", seen)
	}
}

func TestOrder(t *testing.T) {
	b := &balance{}
	b.seed = newProxy(nil, slog.New(slog.DiscardHandler)).reverse.Transport.(*balance).seed
	backend := route.Backend{Endpoints: []string{"a", "b", "c", "d"}}
	for n, want := range []string{"a b c", "b c d", "c d a", "d a b", "a b c"} {
		if got := strings.Join(order(backend, b.first(forwarded{backend: backend}), uint64(n)), " "); got != want {
			t.Errorf("request %d: %s", n, got)
		}
	}
	if got := order(route.Backend{}, -1, 3); got != nil {
		t.Errorf("without endpoints: %v", got)
	}
	backend.Sticky = true
	moved, used := 0, map[int]bool{}
	for i := range 100 {
		f := forwarded{backend: backend, client: fmt.Sprint("10.0.0.", i)}
		first := b.first(f)
		used[first] = true
		f.backend.Endpoints = []string{"a", "b", "c"} // d leaves
		if first != 3 && b.first(f) != first {
			moved++
		}
	}
	if moved > 0 || len(used) != 4 {
		t.Errorf("%d clients of other endpoints moved; used %v", moved, used)
	}
}
