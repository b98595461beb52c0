package dashboard_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/test/dashboard/served"
	"github.com/skiff-dev/skiff/test/dashboard/tab"
)

// screens are the routes of the screens, with a text that each shows of the cluster.
var screens = []struct{ route, text string }{
	{"overview", "first"}, {"nodes", "worker-1"}, {"workloads", "payments"}, {"list/pods", "payments-"}, {"list/deployments.apps", "dashboards"},
	{"list/services", "cart"}, {"list/configmaps", "kube-root-ca.crt"}, {"list/secrets", "Secrets"}, {"list/events", "Events"},
	{"list/customresourcedefinitions.apiextensions.k8s.io", ""}, {"list/persistentvolumeclaims", ""}, {"list/clusterroles.rbac.authorization.k8s.io", "cluster-admin"},
	{"map", ""}, {"events", ""}, {"logs", ""}, {"forwards", ""}, {"create", ""}, {"rights", ""}, {"resources", "Deployment"},
	{"object/deployments.apps/shop/web", "web"}, {"object/nodes/_/worker-1", "worker-1"}, {"object/services/shop/web", "web"}, {"object/namespaces/_/shop", "shop"},
}

func TestDashboardInABrowser(t *testing.T) {
	c := newCluster(t)
	for _, one := range []struct {
		name string
		test func(*testing.T, *cluster)
	}{
		{"every screen loads without an error", testScreens},
		{"nothing is wider than a telephone", testTelephone},
		{"a link is refused the second time", testUsedLink},
		{"a user with few rights", testFewRights},
		{"objects cannot run scripts", testHostileObjects},
		{"screens follow the cluster", testLive},
		{"controls that all screens share", testControls},
		{"actions are clicked", testActions},
		{"others change an object that is edited", testEditConflict},
		{"another cluster", testOtherCluster},
		{"a page that fails", testBrokenPage},
		{"a page opens the link", testOpenerPage},
		{"a cluster that stops and comes back", testOutage}, // last: it disturbs the others
	} {
		t.Run(one.name, func(t *testing.T) { one.test(t, c) })
	}
}

// testScreens shows all screens on a large screen, in light colours.
func testScreens(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Size(1600, 1000)
	b.Settle()
	b.Clean("the first screen")
	checkScreens(t, b, "light", 1600)
	if tab.Evaluate[bool](b, `document.cookie.includes("skiff")`) {
		t.Error("scripts can read the session's cookie")
	}
}

// testTelephone shows all screens on a telephone, in dark colours.
func testTelephone(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Size(360, 740)
	checkScreens(t, b, "dark", 360)
}

// checkScreens shows all screens in a theme, and checks them with axe-core.
func checkScreens(t *testing.T, b *tab.Tab, theme string, width int64) {
	t.Helper()
	axe, err := os.ReadFile("../../build/web/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v: run scripts/web.sh --packages", err)
	}
	tab.Evaluate[bool](b, string(axe)+"; true")
	tab.Evaluate[bool](b, fmt.Sprintf(`(document.documentElement.dataset.theme = %q, true)`, theme))
	for _, s := range screens {
		fits(t, b, s.route, s.text, width)
		accessible(t, b, fmt.Sprintf("%s in a window of %d pixels", s.route, width))
	}
}

// fits checks that a screen shows a text, has no errors, and is not wider than the window.
func fits(t *testing.T, b *tab.Tab, route, text string, width int64) {
	t.Helper()
	b.Visit(route)
	b.See(text)
	b.Settle()
	b.Clean(fmt.Sprintf("%s in a window of %d pixels", route, width))
	if wide := tab.Evaluate[int64](b, "document.documentElement.scrollWidth"); wide > width {
		t.Errorf("%s is %d pixels wide in a window of %d", route, wide, width)
	}
	b.Picture(fmt.Sprintf("dashboard-%s-%d", strings.NewReplacer("/", "-", "_", "").Replace(route), width))
}

// accessible checks what is shown with axe-core, which the page has loaded.
func accessible(t *testing.T, b *tab.Tab, route string) {
	t.Helper()
	findings := tab.Evaluate[string](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => ({rule: v.id, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))}))))`)
	var all []struct {
		Rule, Help string
		Nodes      []string
	}
	if err := json.Unmarshal([]byte(findings), &all); err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		t.Errorf("%s: %s (%s): %q", route, f.Rule, f.Help, f.Nodes)
	}
}

func testUsedLink(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Allow("403")
	for _, path := range []string{"/login?token=x", "/login"} {
		if status := tab.Evaluate[int](b, fmt.Sprintf(`fetch(%q).then((r) => r.status)`, path)); status != 403 {
			t.Errorf("%s: status %d", path, status)
		}
	}
	b.Clean("login")
}

// testFewRights logs in as a user who may only read one namespace.
func testFewRights(t *testing.T, c *cluster) {
	_, err := c.Client.RbacV1().RoleBindings("shop").Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "jane"},
		Subjects:   []rbacv1.Subject{{Kind: "User", Name: "jane", APIGroup: rbacv1.GroupName}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := c.open(t, "jane")
	b.Allow("403") // what she may not see
	b.See("jane")
	for _, s := range screens {
		b.Visit(s.route)
		b.Settle()
		b.Clean(s.route)
	}
	status := tab.Evaluate[int](b, `fetch("/api/kubernetes/api/v1/namespaces/shop/pods").then((r) => r.status)`)
	other := tab.Evaluate[int](b, `fetch("/api/kubernetes/api/v1/namespaces/kube-system/secrets").then((r) => r.status)`)
	if status != 200 || other != 403 {
		t.Errorf("her own namespace: %d, others: %d", status, other)
	}
}

// hostile is text that runs a script if a page takes it for HTML.
const hostile = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"'><svg/onload=window.pwned=1>javascript:window.pwned=1`

// testHostileObjects shows objects whose texts are HTML.
func testHostileObjects(t *testing.T, c *cluster) {
	meta := metav1.ObjectMeta{Name: "hostile", Namespace: "shop", Annotations: map[string]string{"note": hostile, "url": "javascript:window.pwned=1"}}
	if _, err := c.Client.CoreV1().ConfigMaps("shop").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"page.html": hostile, "icon.svg": hostile}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client.CoreV1().Secrets("shop").Create(t.Context(), &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"page.html": hostile}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	now := metav1.Now()
	if _, err := c.Client.CoreV1().Events("shop").Create(t.Context(), &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "hostile", Namespace: "shop"}, InvolvedObject: corev1.ObjectReference{Kind: "ConfigMap", Namespace: "shop", Name: "hostile", APIVersion: "v1"},
		Reason: hostile[:100], Message: hostile, Type: "Warning", FirstTimestamp: now, LastTimestamp: now, Count: 1, Source: corev1.EventSource{Component: hostile[:60]},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b := c.open(t, "")
	for _, route := range []string{
		"list/configmaps", "list/secrets", "events", "list/events", "overview", "object/configmaps/shop/hostile", "object/configmaps/shop/hostile?tab=yaml", "object/secrets/shop/hostile",
		`list/"><img src=x onerror=window.pwned=1>`, `object/pods/shop/<img src=x onerror=window.pwned=1>`,
	} {
		b.Go(route)
		b.Settle()
		if tab.Evaluate[bool](b, `"pwned" in window`) {
			t.Fatalf("%s: a script ran", route)
		}
		if n := tab.Evaluate[int](b, `document.querySelectorAll("img[onerror], svg[onload], a[href^='javascript:'], script:not([src])").length`); n > 0 {
			t.Errorf("%s: %d elements came from an object", route, n)
		}
	}
	b.Allow("404", "400") // objects that do not exist
	b.Clean("hostile objects")
}

// testLive checks that a change appears without an action of the user.
func testLive(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Visit("list/configmaps")
	b.See("kube-root-ca.crt")
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "appears-at-once", Namespace: "shop"}}
	if _, err := c.Client.CoreV1().ConfigMaps("shop").Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.See("appears-at-once")
	if err := c.Client.CoreV1().ConfigMaps("shop").Delete(t.Context(), made.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.Await("a row that disappears", `!document.body.innerText.includes("appears-at-once")`)
	b.Clean("live")
}

// testOtherCluster switches to another cluster, which only an administrator may do.
func testOtherCluster(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Press("Cluster first")
	b.See("Clusters on this host", "third", "stopped")
	b.Press("Open second")
	b.Moved()
	b.Await("the other cluster", `document.querySelector("h1")?.innerText === "second"`)
	b.Visit("list/configmaps")
	b.See("kube-root-ca.crt")
	b.Clean("another cluster")
	jane := c.open(t, "jane")
	jane.Allow("403")
	names := `fetch("/api/clusters").then((r) => r.json()).then((all) => all.map((c) => c.name).join())`
	if got := tab.Evaluate[string](jane, names); got != "first" {
		t.Errorf("jane sees the clusters %s", got)
	}
	if got := tab.Evaluate[string](b, names); got != "first,second,third" {
		t.Errorf("the administrator sees the clusters %s", got)
	}
}

// testBrokenPage opens a page that throws: the others stay usable.
func testBrokenPage(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Allow("a broken page")
	tab.Evaluate[bool](b, `(() => {
		window.working = Number.prototype.toLocaleString
		Number.prototype.toLocaleString = () => { throw new Error("a broken page") }
		return true
	})()`)
	b.Go("list/configmaps")
	b.See("This page does not work", "a broken page", "Reload")
	b.Looks("broken")
	b.Press("Port-forwards")
	b.Await("another page", `document.querySelector("h1")?.innerText.startsWith("Port-forwards")`)
	b.Go("list/configmaps")
	b.See("This page does not work")
	b.Press("Reload")
	b.See("kube-root-ca.crt")
	b.Clean("a page that fails")
}

// testOpenerPage logs in through the page of a file, as the command does.
func testOpenerPage(t *testing.T, c *cluster) {
	page := filepath.Join(t.TempDir(), "skiff.html")
	link, err := served.LinkOn(t.Context(), c.dashboard, c.Server, "", page)
	if err != nil {
		t.Fatal(err)
	}
	b := tab.OpenFrom(t, "file://"+page, link)
	b.Visit("list/configmaps")
	b.See("kube-root-ca.crt")
	b.Clean("a page that opens the link")
	if _, err := os.Stat(page); !os.IsNotExist(err) {
		t.Errorf("the page is still there: %v", err)
	}
}

// quiet is how long a screen that is left keeps its feeds, and a little more.
const quiet = 32 * time.Second

// testOutage suspends the API server, and then lets it continue.
func testOutage(t *testing.T, c *cluster) {
	b := c.open(t, "")
	b.Visit("list/configmaps")
	b.See("kube-root-ca.crt")
	b.Clean("before the outage")
	time.Sleep(quiet) // until only watches are open, which do not end when the server hangs
	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	thawed := false
	thaw := func() {
		if !thawed {
			thawed = true
			if err := c.Thaw(); err != nil {
				t.Error(err)
			}
		}
	}
	defer thaw()
	b.Await("a banner about the outage", `document.querySelector("[role=alert]")?.innerText.includes("has not answered")`)
	b.See("kube-root-ca.crt") // known objects stay
	thaw()
	b.Await("the end of the outage", `fetch("/api/kubernetes/version").then((r) => r.ok)`)
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "after-the-outage", Namespace: "shop"}}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		_, err := c.Client.CoreV1().ConfigMaps("shop").Create(t.Context(), made, metav1.CreateOptions{})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	b.See("after-the-outage")
}
