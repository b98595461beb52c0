package addon

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
)

// loadChart reads a chart and its values.
func (a *Addon) loadChart(left *int64) error {
	if !strings.HasSuffix(a.Chart, ".tgz") && !exists(filepath.Join(a.Chart, "Chart.yaml")) {
		return fmt.Errorf("%s has no Chart.yaml", a.Chart)
	}
	var err error
	if a.chart, err = loader.Load(a.Chart); err != nil {
		return fmt.Errorf("%s: %s", a.Chart, oneLine(err))
	}
	for _, f := range a.chart.Raw {
		if *left -= int64(len(f.Data)); *left < 0 {
			return fmt.Errorf("%s: addons are larger than %d MiB", a.Chart, maxBytes>>20)
		}
	}
	if a.chart.Metadata.Type == "library" {
		return fmt.Errorf("%s is a library chart, which has no objects", a.Chart)
	}
	for _, needed := range a.chart.Metadata.Dependencies {
		if !slices.ContainsFunc(a.chart.Dependencies(), func(c *chart.Chart) bool { return c.Name() == needed.Name }) {
			return fmt.Errorf("%s: chart %s, which it depends on, is missing: run \"helm dependency build %s\"", a.Chart, needed.Name, a.Chart)
		}
	}
	a.values = a.Values
	if a.ValuesFile != "" {
		content, err := readBounded(a.ValuesFile, left)
		if err != nil {
			return err
		}
		if a.values, err = common.ReadValues(content); err != nil {
			return at(a.ValuesFile, document{line: 1, content: content}, err)
		}
	}
	if a.values == nil {
		a.values = map[string]any{}
	}
	if err := chartutil.ProcessDependencies(a.chart, a.values); err != nil {
		return fmt.Errorf("%s: %s", a.Chart, oneLine(err))
	}
	return nil
}

// render returns the objects of a chart for a cluster.
func (a Addon) render(target Target) ([]object, error) {
	if needs := a.chart.Metadata.KubeVersion; needs != "" && !chartutil.IsCompatibleRange(needs, target.capabilities.KubeVersion.String()) {
		return nil, fmt.Errorf("chart %s needs Kubernetes %s, and the cluster has %s", a.chart.Name(), needs, target.capabilities.KubeVersion.String())
	}
	namespace := a.Namespace
	if namespace == "" {
		namespace = "default"
	}
	values, err := util.ToRenderValues(a.chart, a.values, common.ReleaseOptions{Name: a.Name, Namespace: namespace, Revision: 1, IsInstall: true}, target.capabilities)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", a.Chart, oneLine(err))
	}
	templates := engine.Engine{}
	if target.config != nil { // for the function lookup
		templates = engine.New(target.config)
	}
	files, err := templates.Render(a.chart, values)
	if err != nil {
		return nil, errors.New(oneLine(err))
	}
	var all []object
	for _, crd := range a.chart.CRDObjects() {
		found, err := parse(crd.Filename, crd.File.Data)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Base(name) == "NOTES.txt" || len(bytes.TrimSpace([]byte(files[name]))) == 0 {
			continue
		}
		found, err := parse(name, []byte(files[name]))
		if err != nil {
			return nil, fmt.Errorf("rendered %w", err)
		}
		all = append(all, slices.DeleteFunc(found, skippedHook)...)
	}
	return all, nil
}

// skippedHook reports whether an object is a hook of Helm that runs at another time than
// installation: tests, and what runs before or after a deletion or a rollback.
func skippedHook(o object) bool {
	events := o.GetAnnotations()["helm.sh/hook"]
	if events == "" {
		return false
	}
	return !slices.ContainsFunc(strings.Split(events, ","), func(event string) bool {
		switch strings.TrimSpace(event) {
		case "pre-install", "post-install", "pre-upgrade", "post-upgrade", "crd-install":
			return true
		}
		return false
	})
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
