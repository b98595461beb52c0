package cluster

import (
	"fmt"
	"strings"
	"testing"
)

func TestAnAddonIsNamedAfterItsPath(t *testing.T) {
	for path, want := range map[string]string{
		"/a/manifests": "manifests", "/a/Web_Shop.yaml": "web-shop", "/a/db-1.2.3.tgz": "db-1-2-3", "/a/.hidden.yml": "hidden",
		"/a/äö": "", "/a/" + strings.Repeat("x", 52) + "-y": strings.Repeat("x", 52),
	} {
		if got := AddonName(path); got != want {
			t.Errorf("%s is named %q, want %q", path, got, want)
		}
	}
}

func TestFaultsOfAddons(t *testing.T) {
	for want, addons := range map[string][]Addon{
		"[]": {{Name: "a", Manifests: "/a"}, {Name: "b", Chart: "/b", Namespace: "shop", ValuesFile: "/v"}},
		"[addons: entry 1: set manifests or chart]":                                                                                            {{}},
		"[addons: entry 1: set either manifests or chart, not both]":                                                                           {{Name: "a", Manifests: "/a", Chart: "/b"}},
		"[addons: entry 1: only a chart has values]":                                                                                           {{Name: "a", Manifests: "/a", ValuesFile: "/v"}},
		`[addons: entry 2: it has the name "a" of entry 1: give one of them another name]`:                                                     {{Name: "a", Manifests: "/a"}, {Name: "a", Chart: "/a"}},
		`[addons: entry 1: invalid name "A": use up to 53 lower-case letters, digits and hyphens, with a letter or digit at both ends]`:        {{Name: "A", Manifests: "/a"}},
		`[addons: entry 1: invalid namespace "x/y": use up to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends]`: {{Name: "a", Manifests: "/a", Namespace: "x/y"}},
	} {
		if got := fmt.Sprint(validateAddons(addons)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
