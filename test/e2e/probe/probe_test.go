package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
)

func TestListenersIncludesThisProcess(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	found, err := Listeners("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ network, address string }{{"tcp", tcp.Addr().String()}, {"udp", udp.LocalAddr().String()}} {
		if !slices.ContainsFunc(found, func(l Listener) bool {
			return l.Network == want.network && l.Address == netip.MustParseAddrPort(want.address) && l.Program == "probe.test"
		}) {
			t.Errorf("%+v is not among %+v", want, found)
		}
	}
}

func TestDoReturnsStatusOrError(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	clear, secured := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer clear.Close()
	defer secured.Close()
	address := func(s *httptest.Server) netip.AddrPort { return netip.MustParseAddrPort(s.Listener.Addr().String()) }
	for name, tt := range map[string]struct {
		ask  Ask
		want int
	}{
		"clear":          {Ask{Address: address(clear), Clear: true, Path: "/"}, http.StatusTeapot},
		"TLS":            {Ask{Address: address(secured), Path: "/"}, http.StatusTeapot},
		"TLS to clear":   {Ask{Address: address(clear), Path: "/"}, 0},
		"clear to TLS":   {Ask{Address: address(secured), Clear: true, Path: "/"}, http.StatusBadRequest},
		"no certificate": {Ask{Address: address(secured), Path: "/", Certificate: []byte("x")}, 0},
	} {
		if got := tt.ask.Do(); got.Status != tt.want || (tt.want == 0) != (got.Error != "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000000000000000000001000000:0050": "[::1]:80",
		"0000000000000000FFFF00000100007F:0050": "127.0.0.1:80",
	} {
		if got, err := parseAddress(text); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "01:02", "0100007F", "0100007F:zz", "xx:0050"} {
		if got, err := parseAddress(text); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}
