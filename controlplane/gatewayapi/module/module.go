// Package module reads the definitions of the Gateway API from upstream's module, in Go's
// module cache.
package module

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Definitions returns the release of the module and its custom resource definitions of the
// standard channel in JSON, by name.
func Definitions() (release string, definitions map[string][]byte, err error) {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return "", nil, fmt.Errorf("find the module of the Gateway API: %w", err)
	}
	release, dir, _ := strings.Cut(strings.TrimSpace(string(output)), " ")
	definitions, err = read(filepath.Join(dir, "config", "crd", "standard"))
	return release, definitions, err
}

func read(dir string) (map[string][]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	definitions := map[string][]byte{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var header struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal(content, &header); err != nil {
			return nil, fmt.Errorf("parse %s: %w", filepath.Base(file), err)
		}
		if header.Kind != "CustomResourceDefinition" {
			continue // a policy that refuses other channels
		}
		if definitions[header.Metadata.Name], err = yaml.YAMLToJSON(content); err != nil {
			return nil, fmt.Errorf("convert %s: %w", filepath.Base(file), err)
		}
	}
	if len(definitions) == 0 {
		return nil, fmt.Errorf("the module of the Gateway API has no definitions")
	}
	return definitions, nil
}
