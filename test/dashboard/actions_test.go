package dashboard_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/test/dashboard/tab"
)

// eventually waits until the cluster is as the test expects.
func eventually(t *testing.T, what string, check func(ctx context.Context) error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		err := check(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// testActions clicks every action that needs no running container.
func testActions(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Allow("409", "404")
	for _, one := range []struct {
		name string
		test func(*testing.T, *cluster, *tab.Tab)
	}{
		{"scale", clickScale}, {"restart and roll back", clickRollback}, {"cordon, drain and uncordon", clickNode}, {"suspend and run now", clickCronJob},
		{"create and delete", clickCreate}, {"delete several", clickDeleteSeveral},
		{"delete a volume", clickDeleteVolume},
	} {
		t.Run(one.name, func(t *testing.T) {
			one.test(t, c, b)
			b.Clean(one.name)
		})
	}
}

func clickScale(t *testing.T, c *cluster, b *tab.Tab) {
	b.Visit("object/deployments.apps/shop/cart")
	b.Press("Scale")
	b.Fill("Replicas", "3")
	b.See("1 pod is created (2 now, 3 afterwards)")
	b.Confirm("Scale")
	eventually(t, "three replicas", func(ctx context.Context) error {
		found, err := c.Client.AppsV1().Deployments("shop").Get(ctx, "cart", metav1.GetOptions{})
		if err == nil && *found.Spec.Replicas != 3 {
			err = fmt.Errorf("%d replicas", *found.Spec.Replicas)
		}
		return err
	})
	b.See("3/3 ready")
}

func clickRollback(t *testing.T, c *cluster, b *tab.Tab) {
	deployments := c.Client.AppsV1().Deployments("shop")
	image := func(want string) {
		t.Helper()
		eventually(t, "the image "+want, func(ctx context.Context) error {
			found, err := deployments.Get(ctx, "cart", metav1.GetOptions{})
			if err == nil && found.Spec.Template.Spec.Containers[0].Image != want {
				err = fmt.Errorf("%s", found.Spec.Template.Spec.Containers[0].Image)
			}
			return err
		})
	}
	const first, second = "registry.example.com/cart:1.4.2", "registry.example.com/cart:2"
	patch := `{"spec":{"template":{"spec":{"containers":[{"name":"cart","image":"` + second + `"}]}}}}`
	if _, err := deployments.Patch(t.Context(), "cart", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	b.Visit("object/deployments.apps/shop/cart")
	b.See(second)
	b.Press("Roll back")
	b.Choose("Revision", "1 ")
	b.See("pods are replaced")
	b.Confirm("Roll back")
	image(first)
	b.Visit("object/deployments.apps/shop/cart")
	b.See(first)
	b.Press("Restart")
	b.Confirm("Restart")
	eventually(t, "a restart", func(ctx context.Context) error {
		found, err := deployments.Get(ctx, "cart", metav1.GetOptions{})
		if err == nil && found.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] == "" {
			err = fmt.Errorf("annotations %v", found.Spec.Template.Annotations)
		}
		return err
	})
}

func clickNode(t *testing.T, c *cluster, b *tab.Tab) {
	unschedulable := func(want bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("unschedulable: %t", want), func(ctx context.Context) error {
			node, err := c.Client.CoreV1().Nodes().Get(ctx, "worker-2", metav1.GetOptions{})
			if err == nil && node.Spec.Unschedulable != want {
				err = fmt.Errorf("unschedulable: %t", node.Spec.Unschedulable)
			}
			return err
		})
	}
	b.Visit("object/nodes/_/worker-2")
	b.Press("Cordon")
	b.See("no new pods are scheduled on it")
	b.Confirm("Cordon")
	unschedulable(true)
	b.Press("Drain")
	b.See("What will be affected")
	b.Confirm("Drain")
	eventually(t, "no pod but those of daemon sets", func(ctx context.Context) error {
		pods, err := c.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=worker-2"})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if !strings.HasPrefix(p.Name, "collector-") {
				return fmt.Errorf("%s is there", p.Name)
			}
		}
		return nil
	})
	b.Press("Uncordon")
	b.Confirm("Uncordon")
	unschedulable(false)
}

func clickCronJob(t *testing.T, c *cluster, b *tab.Tab) {
	suspended := func(want bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("suspended: %t", want), func(ctx context.Context) error {
			cron, err := c.Client.BatchV1().CronJobs("shop").Get(ctx, "backup", metav1.GetOptions{})
			if err == nil && *cron.Spec.Suspend != want {
				err = fmt.Errorf("suspended: %t", *cron.Spec.Suspend)
			}
			return err
		})
	}
	b.Visit("object/cronjobs.batch/shop/backup")
	b.Press("Suspend")
	b.Confirm("Suspend")
	suspended(true)
	b.Press("Resume")
	b.Confirm("Resume")
	suspended(false)
	b.Press("Run now")
	b.Confirm("Run now")
	eventually(t, "a job", func(ctx context.Context) error {
		jobs, err := c.Client.BatchV1().Jobs("shop").List(ctx, metav1.ListOptions{})
		if err == nil && (len(jobs.Items) == 0 || !strings.HasPrefix(jobs.Items[0].Name, "backup-manual-")) {
			err = fmt.Errorf("%d jobs", len(jobs.Items))
		}
		return err
	})
}

// clickCreate types a manifest, and deletes the object.
func clickCreate(t *testing.T, c *cluster, b *tab.Tab) {
	b.Visit("create")
	b.Await("an editor", `document.querySelector(".editor")?.shadowRoot?.querySelector(".cm-content")`)
	edit(b, "", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: typed, namespace: shop}\ndata: {color: green}\n")
	b.Press("Review changes")
	b.See("What would change: 1 created", "+  color: green")
	b.Press("Apply")
	b.See("What was changed: 1 created")
	b.Visit("object/configmaps/shop/typed")
	b.See("green")
	b.Press("Delete")
	b.Confirm("Delete")
	eventually(t, "no config map", func(ctx context.Context) error {
		if _, err := c.Client.CoreV1().ConfigMaps("shop").Get(ctx, "typed", metav1.GetOptions{}); err == nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	b.See("does not exist, or has been deleted")
}

// clickDeleteSeveral selects rows, one of which is another object by the time of the
// confirmation: that one stays.
func clickDeleteSeveral(t *testing.T, c *cluster, b *tab.Tab) {
	maps := c.Client.CoreV1().ConfigMaps("observability")
	create := func(name string) {
		t.Helper()
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create("seen-1")
	create("seen-2")
	b.Visit("list/configmaps")
	b.See("seen-1", "seen-2")
	for _, name := range []string{"seen-1", "seen-2"} {
		b.Press("Select observability/" + name)
	}
	tab.Evaluate[bool](b, `(performance.clearResourceTimings(), true)`)
	b.Press("Delete")
	b.Await("two dry runs", `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/api/actions/delete")).length >= 2`)
	if err := maps.Delete(t.Context(), "seen-2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	create("seen-2")
	b.Press("Delete")
	b.See("deleted and created again")
	left, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range left.Items {
		if m.Name == "seen-1" {
			t.Error("seen-1 is still there")
		}
	}
	if !strings.Contains(fmt.Sprint(left.Items), "seen-2") {
		t.Error("the new seen-2 was deleted")
	}
	b.Confirm("Cancel")
}

// clickDeleteVolume deletes an object whose name must be typed.
func clickDeleteVolume(t *testing.T, c *cluster, b *tab.Tab) {
	volumes := c.Client.CoreV1().PersistentVolumes()
	_, err := volumes.Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "disk-1"},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.Visit("object/persistentvolumes/_/disk-1")
	b.See("Retain")
	b.Settle()
	b.Press("Delete")
	b.See("Type disk-1 to confirm")
	const refused = `[...document.querySelectorAll("dialog[open] button[type=submit]")].every((e) => e.disabled)`
	b.Await("a button that cannot be pressed", refused)
	b.Fill("Type disk-1 to confirm", "disk-")
	b.Await("a button that cannot be pressed", refused)
	b.Fill("Type disk-1 to confirm", "disk-1")
	b.Confirm("Delete")
	eventually(t, "no volume", func(ctx context.Context) error {
		if found, err := volumes.Get(ctx, "disk-1", metav1.GetOptions{}); err == nil && found.DeletionTimestamp == nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}

// edit replaces a text in the editor, or inserts it if old is empty, as typing does.
func edit(b *tab.Tab, old, text string) {
	tab.Evaluate[bool](b, fmt.Sprintf(`(() => {
		const content = document.querySelector(".editor").shadowRoot.querySelector(".cm-content")
		const view = content.cmTile?.view ?? content.cmView?.view
		const from = %q === "" ? 0 : view.state.doc.toString().indexOf(%q)
		if (from < 0) return false
		view.dispatch({changes: {from, to: from + %q.length, insert: %q}})
		return true
	})()`, old, old, old, text))
}

// testEditConflict edits an object that others change at the same time.
func testEditConflict(t *testing.T, c *cluster) {
	b := c.open(t, "")
	maps := c.Client.CoreV1().ConfigMaps("shop")
	data := func() map[string]string {
		t.Helper()
		found, err := maps.Get(t.Context(), "shared", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return found.Data
	}
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "shared"}, Data: map[string]string{"mine": "a", "theirs": "a"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	others := func(value string) {
		t.Helper()
		if _, err := maps.Patch(t.Context(), "shared", types.MergePatchType, []byte(`{"data":{"theirs":"`+value+`"}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() {
		b.Visit("object/configmaps/shop/shared?tab=yaml")
		b.Press("Edit")
		b.Await("an editor", `document.body.innerText.includes("Review changes") && document.querySelector(".editor")?.shadowRoot?.querySelector(".cm-content")`)
	}
	apply := func() {
		b.Press("Review changes")
		b.See("What would change: 1 changed")
		b.Press("Apply")
		b.Await("the end of editing", `[...document.querySelectorAll("button")].some((e) => e.innerText === "Edit")`)
	}
	begin()
	edit(b, "mine: a", "mine: b")
	others("b")
	b.Press("Review changes")
	b.See("Others changed this object while you edited it", "+  theirs: b")
	b.Looks("conflict")
	b.Press("Keep both changes")
	apply()
	if got := data(); got["mine"] != "b" || got["theirs"] != "b" {
		t.Errorf("both changes: %v", got)
	}
	begin()
	edit(b, "mine: b", "mine: c")
	others("c")
	b.Press("Review changes")
	b.See("+  theirs: c")
	b.Press("Overwrite with mine")
	apply()
	if got := data(); got["mine"] != "c" || got["theirs"] != "b" {
		t.Errorf("overwritten: %v", got)
	}
	begin()
	edit(b, "mine: c", "mine: d")
	b.Press("Review changes")
	b.See("What would change: 1 changed")
	others("d") // between the review and the change
	b.Press("Apply")
	b.See("Others changed this object while you edited it")
	if got := data(); got["mine"] != "c" || got["theirs"] != "d" {
		t.Errorf("nobody decided yet: %v", got)
	}
	b.Clean("a conflict")
}
