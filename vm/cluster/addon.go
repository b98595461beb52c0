package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Addon is a set of objects that `skiff up` applies once the cluster is ready.
type Addon struct {
	// Name is a DNS label of at most maxAddonName characters, unique in the cluster.
	Name string `json:"name"`
	// Manifests is the absolute path of a file or a directory of manifests, or of a directory
	// with a kustomization. Chart is that of a Helm chart. One of both is set.
	Manifests string `json:"manifests,omitempty"`
	Chart     string `json:"chart,omitempty"`
	// Namespace of objects that do not name one; empty for default.
	Namespace string `json:"namespace,omitempty"`
	// Values of the chart, or the absolute path of a file with them.
	Values     map[string]any `json:"values,omitempty"`
	ValuesFile string         `json:"valuesFile,omitempty"`
}

// maxAddonName leaves room for a prefix in names of objects, and is Helm's limit for
// releases.
const maxAddonName = 53

// Path returns the path that the addon is read from.
func (a Addon) Path() string {
	if a.Chart != "" {
		return a.Chart
	}
	return a.Manifests
}

var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// AddonName returns the name of an addon that has none: that of its file or directory, as
// far as a name may have its characters.
func AddonName(path string) string {
	base := strings.ToLower(filepath.Base(path))
	for _, ext := range []string{".yaml", ".yml", ".json", ".tgz"} {
		base = strings.TrimSuffix(base, ext)
	}
	name := strings.Trim(notLabel.ReplaceAllString(base, "-"), "-")
	return strings.Trim(name[:min(len(name), maxAddonName)], "-")
}

// validateAddons returns what is wrong with addons, apart from the files they name.
func validateAddons(addons []Addon) []error {
	var faults []error
	first := map[string]int{}
	for i, a := range addons {
		fault := func(err error) { faults = append(faults, fmt.Errorf("addons: entry %d: %w", i+1, err)) }
		switch {
		case a.Manifests == "" && a.Chart == "":
			fault(errors.New("set manifests or chart"))
		case a.Manifests != "" && a.Chart != "":
			fault(errors.New("set either manifests or chart, not both"))
		case a.Chart == "" && (len(a.Values) > 0 || a.ValuesFile != ""):
			fault(errors.New("only a chart has values"))
		}
		if a.Path() == "" {
			continue
		}
		if len(a.Name) > maxAddonName || !label.MatchString(a.Name) {
			fault(fmt.Errorf("invalid name %q: use up to %d lower-case letters, digits and hyphens, with a letter or digit at both ends", a.Name, maxAddonName))
		}
		if a.Namespace != "" && (len(a.Namespace) > 63 || !label.MatchString(a.Namespace)) {
			fault(fmt.Errorf("invalid namespace %q: use up to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends", a.Namespace))
		}
		if other, ok := first[a.Name]; ok {
			fault(fmt.Errorf("it has the name %q of entry %d: give one of them another name", a.Name, other))
		} else {
			first[a.Name] = i + 1
		}
	}
	return faults
}
