package cve

import (
	"errors"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
)

// tracker has the shape of the security tracker's object.
const tracker = `{
  "busybox": {"CVE-2022-0001": {"scope": "local", "releases": {"bookworm": {"status": "resolved", "repositories": {"bookworm": "1:1.35.0-4"}, "fixed_version": "1:1.35.0-1", "urgency": "not yet assigned"}}}},
  "emacs": {"CVE-2025-0002": {"releases": {"bookworm": {"status": "open", "urgency": "high"}}}},
  "linux": {
    "CVE-2026-0003": {"description": "net: a \u001b[31mbug\n", "releases": {"bookworm": {"status": "resolved", "fixed_version": "6.1.200-1", "urgency": "medium"}, "sid": {"status": "resolved", "fixed_version": "6.18-1", "urgency": "medium"}}},
    "CVE-2026-0004": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "unimportant"}}},
    "CVE-2026-0005": {"releases": {"bookworm": {"status": "open", "urgency": "not yet assigned"}}},
    "CVE-2026-0006": {"releases": {"bookworm": {"status": "open", "urgency": "unimportant"}}},
    "CVE-2026-0007": {"releases": {"bookworm": {"status": "undetermined", "urgency": "not yet assigned"}}},
    "CVE-2026-0008": {"releases": {"trixie": {"status": "open", "urgency": "high"}}}
  }
}`

func image() manifest.Manifest {
	return manifest.Manifest{Debian: "bookworm", Packages: []manifest.Package{
		{Name: "busybox-static", Version: "1:1.35.0-4+b1", Source: "busybox", SourceVersion: "1:1.35.0-4"},
		{Name: "linux-image-6.1.0-57-cloud-amd64", Version: "6.1.192-3", Source: "linux", SourceVersion: "6.1.192-3"},
		{Name: "netbase", Version: "6.4"},
	}}
}

func TestVulnerabilitiesAreThoseOfTheVersionsThatTheImageHas(t *testing.T) {
	report, err := Compare(strings.NewReader(tracker), image())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range report.Findings {
		found = append(found, f.CVE+" "+f.Source+" "+f.Version+" "+f.Fixed)
	}
	want := "CVE-2026-0003 linux 6.1.192-3 6.1.200-1, CVE-2026-0005 linux 6.1.192-3 "
	if got := strings.Join(found, ", "); got != want {
		t.Errorf("found %q, want %q", got, want)
	}
	if report.Unimportant != 1 || report.Fixed() != 1 || report.Release != "bookworm" {
		t.Errorf("%+v", report)
	}
}

func TestFixesAreComparedAsDebianOrdersVersions(t *testing.T) {
	for fixed, affected := range map[string]bool{"1:1.35.0-4": false, "1:1.35.0-4+deb12u1": true, "1.36": false, "2:1.0": true, "1:1.35.0-4~rc1": false} {
		object := `{"busybox": {"CVE-1": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "` + fixed + `"}}}}}`
		report, err := Compare(strings.NewReader(object), image())
		if err != nil {
			t.Fatal(err)
		}
		if got := len(report.Findings) == 1; got != affected {
			t.Errorf("fixed in %s: affected is %v, want %v", fixed, got, affected)
		}
	}
}

func TestWhatIsNotTheTrackersDataIsRefused(t *testing.T) {
	for name, object := range map[string]string{
		"empty":              "",
		"a page":             "<html>",
		"a list":             "[]",
		"cut off":            tracker[:len(tracker)/2],
		"no package":         "{}",
		"another shape":      `{"linux": [1]}`,
		"an invalid version": `{"linux": {"CVE-1": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "not a version"}}}}}`,
	} {
		if report, err := Compare(strings.NewReader(object), image()); err == nil {
			t.Errorf("%s: %+v", name, report)
		}
	}
	if _, err := Compare(strings.NewReader(tracker), manifest.Manifest{}); !errors.Is(err, ErrNotDebian) {
		t.Errorf("an image of an unknown release: %v", err)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(tracker)
	f.Add("{")
	f.Fuzz(func(t *testing.T, object string) {
		report, err := Compare(strings.NewReader(object), image())
		if err == nil && report.Release != "bookworm" {
			t.Errorf("%+v", report)
		}
	})
}
