package kindconfig

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestConfigurationsOfKindAreConverted(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !Is(content) {
			t.Errorf("%s is not recognized", file)
		}
		spec, remarks, err := Convert(content)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		host := cluster.Host{CPUs: 1 << 10, MemoryMiB: 1 << 30, DiskFreeMiB: 1 << 30, Names: kubenames.Read}
		for _, fault := range cluster.Validate(spec, host, 0) {
			t.Errorf("%s: %v", file, fault)
		}
		var got bytes.Buffer
		for _, remark := range remarks {
			fmt.Fprintln(&got, remark)
		}
		fmt.Fprint(&got, "\n", changes(t, spec))
		golden := strings.TrimSuffix(file, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(want, got.Bytes()) {
			t.Errorf("%s: %v, got\n%s", golden, err, got.String())
		}
	}
}

// changes returns in which settings spec differs from the defaults.
func changes(t *testing.T, spec cluster.Spec) string {
	t.Helper()
	fields := func(spec cluster.Spec) map[string]any {
		content, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]any
		if err := json.Unmarshal(content, &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	defaults, all := fields(cluster.Default()), fields(spec)
	for key, value := range all {
		if reflect.DeepEqual(value, defaults[key]) {
			delete(all, key)
		}
	}
	content, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(content) + "\n"
}

func TestInvalidConfigurationsOfKindAreErrors(t *testing.T) {
	const header = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"
	for content, want := range map[string]string{
		"kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha3\n": `apiVersion is "kind.x-k8s.io/v1alpha3": use kind.x-k8s.io/v1alpha4`,
		header + "node: []\n":                                                "line 3: field node not found",
		header + "nodes: [{role: worker, extraPorts: []}]\n":                 "field extraPorts not found",
		header + "nodes: {}\n":                                               "line 3: cannot unmarshal",
		header + "---\n" + header:                                            "more than one YAML document",
		header + "kubeadmConfigPatches: ['kind: ClusterConfigration']\n":     `kubeadmConfigPatches[0]: unknown kind "ClusterConfigration": did you mean "ClusterConfiguration"?`,
		header + "kubeadmConfigPatches: ['kind: [']\n":                       "kubeadmConfigPatches[0]: ",
		header + "nodes: [{kubeadmConfigPatches: ['kind: KubeltConfig']}]\n": "nodes[0].kubeadmConfigPatches[0]: unknown kind",
	} {
		_, _, err := Convert([]byte(content))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, want %q", content, err, want)
		}
	}
}

func TestOtherFilesAreNotKinds(t *testing.T) {
	for _, content := range []string{"", "workers: 2\n", "kind: Cluster\n", "kind: [", "apiVersion: kind.x-k8s.io/v1alpha4\n"} {
		if Is([]byte(content)) {
			t.Errorf("%q", content)
		}
	}
}

// FuzzConvert checks that no file makes the conversion panic.
func FuzzConvert(f *testing.F) {
	for _, name := range []string{"ingress", "zones", "network", "components"} {
		content, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(_ *testing.T, content []byte) {
		if Is(content) {
			_, _, _ = Convert(content)
		}
	})
}

func TestFoldersAreRelativeToTheCurrentDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for path, want := range map[string]string{"data": filepath.Join(dir, "data") + ":/data", "./": dir + ":/data", "/srv": "/srv:/data", `""`: ""} {
		spec, remarks, err := Convert([]byte("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane, extraMounts: [{hostPath: " + path + ", containerPath: /data}]}]\n"))
		if got := strings.Join(spec.Mounts, " "); err != nil || got != want {
			t.Errorf("%s: %q, want %q: %v %v", path, got, want, remarks, err)
		}
	}
}
