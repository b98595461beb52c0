package kubelet

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes/fake"
	kubeletpods "k8s.io/kubernetes/pkg/kubelet/config"
	"k8s.io/kubernetes/pkg/kubelet/pod"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/configmap"
	"k8s.io/kubernetes/pkg/volume/downwardapi"
	"k8s.io/kubernetes/pkg/volume/emptydir"
	"k8s.io/kubernetes/pkg/volume/projected"
	volumesecret "k8s.io/kubernetes/pkg/volume/secret"
	volumetesting "k8s.io/kubernetes/pkg/volume/testing"
	"k8s.io/utils/ptr"
)

// These tests check upstream's own code for what awaitMounts relies on. When one
// of them fails after a new version of Kubernetes, PlainKubelet in the node
// document turns the wait off until it fits again. It also turns off awaitNetwork.

// alive is a kubelet none of whose pods end.
type alive struct{}

func (alive) ShouldPodContainersBeTerminating(types.UID) bool { return false }
func (alive) ShouldPodRuntimeBeRemoved(types.UID) bool        { return false }

// Upstream's volume manager and plugins mount every kind of volume that marks
// knows. The marks must appear, and once they have, the volume manager must report
// the volumes as mounted without another 300 ms of waiting.
func TestUpstreamsVolumeManagerIsDoneWhenTheMarksAppear(t *testing.T) {
	// The API server would set the mode.
	name, mode := corev1.LocalObjectReference{Name: "data"}, ptr.To[int32](0o644)
	owner := podWith(
		volumeNamed("token", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources:     []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: name}}},
			DefaultMode: mode,
		}}),
		volumeNamed("config", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: name, DefaultMode: mode}}),
		volumeNamed("secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "data", DefaultMode: mode}}),
		volumeNamed("downward", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{DefaultMode: mode, Items: []corev1.DownwardAPIVolumeFile{
			{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
		}}}),
		scratch,
	)
	owner.Name, owner.Namespace = "pod", "default"
	meta := metav1.ObjectMeta{Name: "data", Namespace: "default"}
	api := fake.NewClientset(owner, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"a": "b"}},
		&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"a": []byte("b")}}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}})

	root := t.TempDir()
	var plugins []volume.VolumePlugin
	for _, probe := range []func() []volume.VolumePlugin{
		emptydir.ProbeVolumePlugins, configmap.ProbeVolumePlugins, volumesecret.ProbeVolumePlugins,
		downwardapi.ProbeVolumePlugins, projected.ProbeVolumePlugins,
	} {
		plugins = append(plugins, probe()...)
	}
	manager := &volume.VolumePluginMgr{}
	if err := manager.InitPlugins(plugins, nil, volumetesting.NewFakeKubeletVolumeHost(t, root, api, plugins)); err != nil {
		t.Fatal(err)
	}
	pods := pod.NewBasicPodManager()
	volumes := newVolumeManager(pods, api, manager, filepath.Join(root, "pods"))

	files := marks(root, owner)
	if len(files) != 5 {
		t.Fatalf("marks %q", files)
	}
	go volumes.Run(t.Context(), kubeletpods.NewSourcesReady(func(sets.Set[string]) bool { return true }))
	pods.SetPods([]*corev1.Pod{owner})
	waitFor(slices.Clone(files))
	for _, file := range files {
		if _, err := os.Lstat(file); err != nil {
			t.Errorf("the wait ran into its limit: %v", err)
		}
	}
	begun := time.Now()
	if err := volumes.WaitForAttachAndMount(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 200*time.Millisecond {
		t.Errorf("the volumes were found only after %s", took)
	}
}

// awaitMounts wraps the container manager when upstream's run sets its OOM score.
func TestUpstreamSetsItsScoreBetweenMakingAndUsingTheContainerManager(t *testing.T) {
	calls := callsIn(t, "k8s.io/kubernetes/cmd/kubelet/app", "server.go", "run", "NewContainerManager", "ApplyOOMScoreAdj", "RunKubelet")
	if want := []string{"NewContainerManager", "ApplyOOMScoreAdj", "RunKubelet"}; !slices.Equal(calls, want) {
		t.Errorf("upstream's run calls %q, not %q", calls, want)
	}
}

// The wait is in EnsureExists, which must come before the kubelet looks for the
// volumes.
func TestUpstreamMakesAPodsCgroupBeforeItLooksForItsVolumes(t *testing.T) {
	calls := callsIn(t, "k8s.io/kubernetes/pkg/kubelet", "kubelet.go", "SyncPod", "EnsureExists", "WaitForAttachAndMount")
	if want := []string{"EnsureExists", "WaitForAttachAndMount"}; !slices.Equal(calls, want) {
		t.Errorf("upstream's SyncPod calls %q, not %q", calls, want)
	}
}

func TestTheWaitIsTwoOfUpstreamsPeriods(t *testing.T) {
	source := source(t, "k8s.io/kubernetes/pkg/kubelet/volumemanager", "volume_manager.go")
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "podAttachAndMountRetryInterval = 300 * time.Millisecond") || mountsLimit != 2*300*time.Millisecond {
		t.Error("upstream's period has changed")
	}
}

// source returns a file of an upstream package.
func source(t *testing.T, pkg, file string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), file)
}

// callsIn returns the calls of the named functions in a function's source, in
// order.
func callsIn(t *testing.T, pkg, file, function string, names ...string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), source(t, pkg, file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, declaration := range parsed.Decls {
		declared, ok := declaration.(*ast.FuncDecl)
		if !ok || declared.Name.Name != function {
			continue
		}
		ast.Inspect(declared, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok && slices.Contains(names, called(call)) {
				calls = append(calls, called(call))
			}
			return true
		})
	}
	return calls
}

// called returns the name of the function or method that is called.
func called(call *ast.CallExpr) string {
	switch function := call.Fun.(type) {
	case *ast.Ident:
		return function.Name
	case *ast.SelectorExpr:
		return function.Sel.Name
	}
	return ""
}
