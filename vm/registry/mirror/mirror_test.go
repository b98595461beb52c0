package mirror

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Mirror{
		"docker.io=https://mirror.example":            {Registry: "docker.io", Host: "mirror.example"},
		"docker.io=https://mirror.example/":           {Registry: "docker.io", Host: "mirror.example"},
		"quay.io=http://10.1.2.3:5000":                {Registry: "quay.io", Host: "10.1.2.3:5000", Plain: true},
		"localhost:30500=https://harbor.corp/hub/sub": {Registry: "localhost:30500", Host: "harbor.corp", Prefix: "hub/sub"},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestParseRefusesAnInvalidMirrorInOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "no \"=\"",
		"https://mirror.example":            "no \"=\"",
		"docker.io=mirror.example":          "https://",
		"docker.io=ftp://mirror.example":    "https://",
		"docker.io=https://":                "not a host",
		"Docker.IO=https://mirror.example":  "not a registry",
		"docker.io/library=https://m.com":   "not a registry",
		"docker.io=https://u:p@m.com":       "docker login",
		"docker.io=https://m.com/?a=b":      "not a path",
		"docker.io=https://m.com/../..":     "not a path",
		"docker.io=https://m.com:0":         "not a host",
		"docker.io=https://m.com:port":      "https://",
		"docker.io=https://[::1]:5000":      "not a host",
		"docker.io=https://m.com/v2/UPPER/": "not a path",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestCheckNamesEachFault(t *testing.T) {
	faults := Check([]string{"docker.io=https://m.com", "x"}, []string{"registry.corp:5000", "http://registry.corp", "a:70000"})
	if len(faults) != 3 {
		t.Errorf("got %v, want three faults", faults)
	}
}
