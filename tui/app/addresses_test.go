package app

import (
	"slices"
	"testing"
)

func TestABrowserThatFailsShowsTheURL(t *testing.T) {
	play(t, 100, 24, Config{Clusters: []string{"dev"}}, func(p *player) {
		p.press(":", "svc", "enter", "down", "b")
		if want := []string{"browse http://store.shop.dev.localhost:7080"}; !slices.Equal(p.host.ran, want) {
			t.Errorf("ran %q, want %q", p.host.ran, want)
		}
		p.host.refused = "cannot open a browser: no display is set"
		p.press("b")
		p.want("no display is set", "open it yourself: http://store.shop.dev.localhost:7080")
	})
}

func TestAddressesAreCopied(t *testing.T) {
	play(t, 100, 24, Config{Clusters: []string{"dev"}}, func(p *player) {
		p.press(":", "addresses", "enter", "c")
		p.want("copied 127.0.0.1:8080")
		p.press(":", "svc", "enter", "down", "C", "right", "enter")
		p.want("copied 127.80.1.2:80")
		p.press("up", "C")
		p.want("copied http://kubernetes.default.dev.localhost:7080")
	})
}

func TestOnlyClustersOfThisHostHaveAddresses(t *testing.T) {
	play(t, 100, 24, Config{Clusters: []string{"ci"}}, func(p *player) {
		p.press(":", "svc", "enter", "b")
		p.want("no address that a browser can open: service default/kubernetes")
		p.press(":", "addresses", "enter")
		p.want(`cluster "ci" is not running`)
	})
}

func TestAddressesFollowTheNamespaces(t *testing.T) {
	play(t, 100, 24, Config{Clusters: []string{"dev"}, Namespaces: []string{"default"}}, func(p *player) {
		p.press(":", "addresses", "enter")
		p.want("kubernetes.default", "pod/db-0")
		p.reject("store")
	})
}
