package route

import "testing"

func TestHostIsTheNameInAHeader(t *testing.T) {
	for header, want := range map[string]string{
		"web.default.dev.localhost":      "web.default.dev.localhost",
		"Web.Default.dev.LOCALHOST:8080": "web.default.dev.localhost",
		"web.default.dev.localhost.":     "web.default.dev.localhost",
		"web.default.dev.localhost.:80":  "web.default.dev.localhost",
		"localhost":                      "localhost",
		"my_app.dev.localhost":           "my_app.dev.localhost",
		"127.0.0.1":                      "",
		"127.0.0.1:8080":                 "",
		"[::1]:8080":                     "",
		"::1":                            "",
		"":                               "",
		"web..dev.localhost":             "",
		"-web.dev.localhost":             "",
		"web/../dev.localhost":           "",
		"web dev.localhost":              "",
		"wéb.dev.localhost":              "",
		"*.dev.localhost":                "",
		"a:b:c":                          "",
	} {
		if got := Host(header); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}

func FuzzHostIsANameOrNothing(f *testing.F) {
	for _, seed := range []string{"web.default.dev.localhost:80", "[::1]:80", "1.2.3.4", "a..b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		host := Host(header)
		if host != "" && Host(host) != host {
			t.Errorf("%q: %q is not canonical", header, host)
		}
		if name, ok := Parse(host); ok && name.String() != host {
			t.Errorf("%q: parsed as %q", host, name)
		}
	})
}

func TestParse(t *testing.T) {
	for host, want := range map[string]Name{
		"web.default.dev.localhost":      {Service: "web", Namespace: "default", Cluster: "dev"},
		"http.web.default.dev.localhost": {Port: "http", Service: "web", Namespace: "default", Cluster: "dev"},
		"default.dev.localhost":          {Namespace: "default", Cluster: "dev"},
		"dev.localhost":                  {Cluster: "dev"},
	} {
		if got, ok := Parse(host); !ok || got != want || got.String() != host {
			t.Errorf("%s: got %+v, %v", host, got, ok)
		}
	}
	for _, host := range []string{"localhost", "a.b.web.default.dev.localhost", "web.default.dev.example.com", "notlocalhost", ""} {
		if got, ok := Parse(host); ok {
			t.Errorf("%s: got %+v", host, got)
		}
	}
}

func TestOwnerNeverGuesses(t *testing.T) {
	clusters := []string{"ci", "dev"}
	claims := []Claim{
		{"ci", []string{"app.example.com", "*.shared.example.com", "both.example.com", "web.default.dev.localhost", "shop.localhost"}},
		{"dev", []string{"*.example.com", "both.example.com"}},
	}
	for host, want := range map[string]string{
		"web.default.dev.localhost": "dev", // whatever another cluster claims
		"dev.localhost":             "dev",
		"a.b.c.d.e.ci.localhost":    "ci",
		"shop.localhost":            "ci",
		"app.example.com":           "ci", // exact before wildcard
		"other.example.com":         "dev",
		"x.shared.example.com":      "ci",
		"x.y.example.com":           "",
		"example.com":               "",
		"evil.com":                  "",
		"localhost":                 "",
		"web.default.old.localhost": "",
		"":                          "",
	} {
		if got, rivals := Owner(host, clusters, claims); got != want || rivals != nil {
			t.Errorf("%q: got %q and %v, want %q", host, got, rivals, want)
		}
	}
	if got, rivals := Owner("both.example.com", clusters, claims); got != "" || len(rivals) != 2 {
		t.Errorf("a host of two clusters: got %q, %v", got, rivals)
	}
}
