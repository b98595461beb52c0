package addon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// hasKustomization reports whether a directory is a kustomization.
func hasKustomization(dir string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool { return exists(filepath.Join(dir, name)) })
}

// kustomize builds the objects of a kustomization as `kubectl apply -k` does.
func kustomize(dir string) ([]object, error) {
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", dir, strings.Join(strings.Fields(err.Error()), " "))
	}
	content, err := result.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return parse(dir, content)
}
