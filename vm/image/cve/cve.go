// Package cve compares the Debian packages of a node image with the vulnerabilities that
// Debian's security team has recorded.
package cve

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"pault.ag/go/debian/version"

	"github.com/skiff-dev/skiff/images/manifest"
)

// Tracker is where Debian publishes what it knows: a JSON object of about 70 MB.
const Tracker = "https://security-tracker.debian.org/tracker/data/json"

// maxTracker bounds that object, in bytes.
const maxTracker = 1 << 30

// ErrNotDebian is returned for an image that does not name the release of Debian that its
// packages are from.
var ErrNotDebian = errors.New("the node image does not say which release of Debian its packages are from")

// Finding is a vulnerability of a package at the version that the image has.
type Finding struct {
	// CVE is the vulnerability's name: "CVE-2026-1234", or a temporary one of Debian's.
	CVE string `json:"cve"`
	// Source is the source package, Packages are those of the image that were built from
	// it, and Version is the version of the source.
	Source   string   `json:"source"`
	Packages []string `json:"packages"`
	Version  string   `json:"version"`
	// Fixed is the first version without it; empty if there is none yet.
	Fixed string `json:"fixed,omitempty"`
	// Urgency is Debian's: "high", "medium", "low" or "not yet assigned".
	Urgency     string `json:"urgency"`
	Description string `json:"description,omitempty"`
}

// Report is the result of a comparison.
type Report struct {
	// Release is that of Debian: "bookworm".
	Release string `json:"release"`
	// Findings are ordered: those with a fix first, then by package and name.
	Findings []Finding `json:"findings"`
	// Unimportant is the number of further ones that Debian considers no risk.
	Unimportant int `json:"unimportant"`
}

// Fixed returns how many findings newer packages fix.
func (r Report) Fixed() int {
	n := 0
	for _, f := range r.Findings {
		if f.Fixed != "" {
			n++
		}
	}
	return n
}

// record is what the tracker has about a vulnerability of a source package.
type record struct {
	Description string            `json:"description"`
	Releases    map[string]status `json:"releases"`
}

// status is that of a vulnerability in one release.
type status struct {
	// Status is "open", "resolved" or "undetermined".
	Status string `json:"status"`
	// Fixed is the first version without it: "0" if the release never had it.
	Fixed   string `json:"fixed_version"`
	Urgency string `json:"urgency"`
}

// built are the packages of an image from one source.
type built struct {
	version version.Version
	names   []string
}

// Compare reads the tracker's object and returns what it knows of the image's packages.
// The error wraps ErrNotDebian if the image cannot be compared.
func Compare(tracker io.Reader, m manifest.Manifest) (Report, error) {
	if m.Debian == "" {
		return Report{}, ErrNotDebian
	}
	sources, err := sourcesOf(m.Packages)
	if err != nil {
		return Report{}, err
	}
	report := Report{Release: m.Debian, Findings: []Finding{}}
	known := false
	err = eachSource(io.LimitReader(tracker, maxTracker), func(name string) bool { return sources[name] != nil }, func(name string, records map[string]record) error {
		known = true
		return report.add(name, *sources[name], records)
	})
	if err != nil {
		return Report{}, fmt.Errorf("read the security tracker's data: %w", err)
	}
	if !known {
		return Report{}, errors.New("read the security tracker's data: it has none of the image's packages")
	}
	slices.SortFunc(report.Findings, func(a, b Finding) int {
		return cmp.Or(-cmp.Compare(min(len(a.Fixed), 1), min(len(b.Fixed), 1)), cmp.Compare(a.Source, b.Source), cmp.Compare(a.CVE, b.CVE))
	})
	return report, nil
}

func sourcesOf(packages []manifest.Package) (map[string]*built, error) {
	all := map[string]*built{}
	for _, p := range packages {
		name := cmp.Or(p.Source, p.Name)
		parsed, err := version.Parse(cmp.Or(p.SourceVersion, p.Version))
		if err != nil {
			return nil, fmt.Errorf("the version of package %s: %w", p.Name, err)
		}
		if all[name] == nil {
			all[name] = &built{version: parsed}
		}
		all[name].names = append(all[name].names, p.Name)
	}
	return all, nil
}

// eachSource calls f for each wanted source package of the tracker's object, and keeps one
// in memory at a time.
func eachSource(r io.Reader, wanted func(name string) bool, f func(name string, records map[string]record) error) error {
	decoder := json.NewDecoder(r)
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return cmp.Or(err, errors.New("it is not a JSON object"))
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the keys of an object are strings
		if !wanted(name) {
			var skipped json.RawMessage
			if err := decoder.Decode(&skipped); err != nil {
				return err
			}
			continue
		}
		var records map[string]record
		if err := decoder.Decode(&records); err != nil {
			return fmt.Errorf("package %s: %w", name, err)
		}
		if err := f(name, records); err != nil {
			return err
		}
	}
	_, err := decoder.Token()
	return err
}

func (r *Report) add(source string, b built, records map[string]record) error {
	for _, name := range slices.Sorted(maps.Keys(records)) {
		about := records[name]
		s, ok := about.Releases[r.Release]
		if !ok {
			continue
		}
		affected, err := s.affects(b.version)
		if err != nil {
			return fmt.Errorf("%s of package %s: %w", name, source, err)
		}
		switch {
		case !affected:
		case s.Urgency == "unimportant":
			r.Unimportant++
		default:
			r.Findings = append(r.Findings, Finding{
				CVE: name, Source: source, Packages: b.names, Version: b.version.String(), Fixed: s.Fixed,
				Urgency: s.Urgency, Description: strings.TrimSpace(about.Description),
			})
		}
	}
	return nil
}

// affects reports whether a version has the vulnerability.
func (s status) affects(have version.Version) (bool, error) {
	if s.Fixed == "" {
		return s.Status == "open", nil
	}
	fixed, err := version.Parse(s.Fixed)
	if err != nil {
		return false, err
	}
	return version.Compare(have, fixed) < 0, nil
}
