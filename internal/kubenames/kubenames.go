// Package kubenames has the names that Kubernetes' components accept in their
// configuration, so that the host can check a user's configuration without linking
// them. controlplane/kubenames collects the names from upstream's code.
package kubenames

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/internal/nearest"
)

// Default is the minor version of Kubernetes that go.mod pins.
const Default = "1.37"

// content has a file VERSION.json for each supported minor version.
//
//go:embed 1.*.json
var content embed.FS

// Names are the names that the components of one version of Kubernetes know.
type Names struct {
	// Gates are the feature gates of all components.
	Gates map[string]Gate `json:"gates"`
	// APIs are the built-in API versions, GROUP/VERSION, the core group's without GROUP.
	APIs []string `json:"apis"`
	// AdmissionPlugins are the API server's.
	AdmissionPlugins []string `json:"admissionPlugins"`
	// APIServer and ControllerManager are the flags of these components, without dashes.
	APIServer         []string `json:"apiServer"`
	ControllerManager []string `json:"controllerManager"`
	// Documents are the fields of configuration files, by kind.
	Documents map[string]Document `json:"documents"`
}

// Gate is a feature gate.
type Gate struct {
	Default bool `json:"default,omitempty"`
	// Locked gates cannot be changed.
	Locked bool `json:"locked,omitempty"`
}

// Document describes a configuration file.
type Document struct {
	APIVersion string `json:"apiVersion"`
	Field      Field  `json:"field"`
}

// Field describes a value in a document.
type Field struct {
	// Type is one of the constants below.
	Type string `json:"type"`
	// Fields of an object.
	Fields map[string]Field `json:"fields,omitempty"`
	// Items of a list or a map.
	Items *Field `json:"items,omitempty"`
}

// The types of a Field.
const (
	Object  = "object"
	List    = "list"
	Map     = "map"
	String  = "string"
	Integer = "integer"
	Number  = "number"
	Boolean = "boolean"
	Any     = "any"
)

// Versions returns the supported minor versions of Kubernetes, the oldest first.
func Versions() []string {
	files, err := content.ReadDir(".")
	if err != nil {
		panic(err) // it is part of the program
	}
	var all []string
	for _, file := range files {
		all = append(all, strings.TrimSuffix(file.Name(), ".json"))
	}
	slices.SortFunc(all, func(a, b string) int { return minor(a) - minor(b) })
	return all
}

// minor returns the second number of a version such as "1.36".
func minor(version string) int {
	_, number, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(number)
	return n
}

// Read returns the names of a minor version of Kubernetes, as in "1.36", or of Default if
// version is empty.
func Read(version string) (*Names, error) {
	if version == "" {
		version = Default
	}
	if !slices.Contains(Versions(), version) {
		return nil, fmt.Errorf("unknown version of Kubernetes %q: choose one of %s", version, strings.Join(Versions(), ", "))
	}
	file, err := content.ReadFile(version + ".json")
	if err != nil {
		return nil, err
	}
	var names Names
	if err := json.Unmarshal(file, &names); err != nil {
		return nil, fmt.Errorf("names of Kubernetes %s: %w", version, err)
	}
	return &names, nil
}

// The keys of a runtime configuration that stand for several APIs.
func wholeAPIs() []string { return []string{"api/all", "api/ga", "api/beta", "api/alpha"} }

// CheckGate returns an error if a feature gate cannot have a value.
func (n Names) CheckGate(name string, on bool) error {
	gate, known := n.Gates[name]
	switch {
	case !known:
		return unknown("feature gate", name, slices.Sorted(maps.Keys(n.Gates)))
	case gate.Locked && on != gate.Default:
		return fmt.Errorf("feature gate %s is locked to %t", name, gate.Default)
	}
	return nil
}

// CheckAPI returns an error if a key of a runtime configuration names an unknown API. A
// key is api/all or the like, GROUP/VERSION, or GROUP/VERSION/RESOURCE.
func (n Names) CheckAPI(key string) error {
	known := slices.Concat(wholeAPIs(), n.APIs)
	version := key
	if parts := strings.Split(key, "/"); len(parts) == 3 && parts[2] != "" {
		version = parts[0] + "/" + parts[1]
	}
	if slices.Contains(known, version) {
		return nil
	}
	return unknown("API", version, known)
}

// CheckAdmissionPlugin returns an error if the API server has no such admission plugin.
func (n Names) CheckAdmissionPlugin(name string) error {
	if slices.Contains(n.AdmissionPlugins, name) {
		return nil
	}
	return unknown("admission plugin", name, n.AdmissionPlugins)
}

// CheckFlag returns an error if name is not one of flags.
func CheckFlag(name string, flags []string) error {
	if slices.Contains(flags, name) {
		return nil
	}
	return unknown("argument", name, flags)
}

// CheckDocument returns what is wrong with a whole document of the given kind.
func (n Names) CheckDocument(kind string, document map[string]any) []error {
	known := n.Documents[kind]
	rest := maps.Clone(document)
	for _, header := range []struct{ key, want string }{{"apiVersion", known.APIVersion}, {"kind", kind}} {
		if got := rest[header.key]; got != header.want {
			return []error{fmt.Errorf("%s is %s: use %s", header.key, quoted(got), header.want)}
		}
		delete(rest, header.key)
	}
	return known.Field.check("", rest)
}

// CheckFields returns what is wrong with some fields of a document of the given kind.
func (n Names) CheckFields(kind string, fields map[string]any) []error {
	return n.Documents[kind].Field.check("", fields)
}

// check returns what is wrong with a value at a path.
func (f Field) check(path string, value any) []error {
	if value == nil || f.Type == Any {
		return nil
	}
	if !f.accepts(value) {
		return []error{fmt.Errorf("%s is %s: it must be %s %s", path, quoted(value), article(f.Type), f.Type)}
	}
	var faults []error
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			faults = append(faults, f.Items.check(fmt.Sprintf("%s[%d]", path, i), item)...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			at := strings.TrimPrefix(path+"."+key, ".")
			if f.Type == Map {
				faults = append(faults, f.Items.check(at, value[key])...)
				continue
			}
			field, known := f.Fields[key]
			if !known {
				faults = append(faults, unknown("field", at, within(path, f.Fields)))
				continue
			}
			faults = append(faults, field.check(at, value[key])...)
		}
	}
	return faults
}

// accepts reports whether a value that was decoded from JSON has the field's type.
func (f Field) accepts(value any) bool {
	switch value := value.(type) {
	case string:
		return f.Type == String
	case bool:
		return f.Type == Boolean
	case float64:
		return f.Type == Number || f.Type == Integer && value == float64(int64(value))
	case []any:
		return f.Type == List
	case map[string]any:
		return f.Type == Object || f.Type == Map
	}
	return false
}

// within returns the paths of the fields of the object at path.
func within(path string, fields map[string]Field) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, strings.TrimPrefix(path+"."+key, "."))
	}
	return all
}

// unknown returns the error for an unknown name. It suggests the nearest known one.
func unknown(what, name string, known []string) error {
	if meant := nearest.Of(name, known); meant != "" {
		return fmt.Errorf("unknown %s %q: did you mean %q?", what, name, meant)
	}
	return fmt.Errorf("unknown %s %q", what, name)
}

// maxQuoted bounds how much of a value an error repeats, in bytes.
const maxQuoted = 60

func quoted(value any) string {
	text, err := json.Marshal(value)
	if err != nil || len(text) > maxQuoted {
		return "not valid"
	}
	if value == nil {
		return "missing"
	}
	return string(text)
}

func article(word string) string {
	if strings.ContainsRune("aeio", rune(word[0])) {
		return "an"
	}
	return "a"
}
