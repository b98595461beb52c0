package dashboard_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/test/dashboard/tab"
	"github.com/skiff-dev/skiff/test/ui/rig"
)

// testControls uses the controls that all screens share, with the mouse and the keyboard.
func testControls(t *testing.T, c *cluster) {
	b := c.open(t, "")
	heading := func(text string) {
		t.Helper()
		b.Await("the page "+text, fmt.Sprintf(`document.querySelector("h1")?.innerText === %q`, text))
	}
	absent := func(text string) {
		t.Helper()
		b.Await("no "+text, fmt.Sprintf(`!document.body.innerText.includes(%q)`, text))
	}
	// The search of the whole cluster.
	b.Press("Search")
	b.Fill("Search the cluster", "db-login")
	b.See("Secret in shop")
	b.Press("db-login")
	heading("db-login")
	// The values of a secret.
	absent(rig.Secret)
	b.Press("Show password")
	b.See(rig.Secret)
	b.Press("Hide password")
	absent(rig.Secret)
	// Keys.
	b.Press("Skip to the content")
	b.Type("?")
	b.See("Light, dark or as the system")
	b.Confirm("Close")
	b.Type("gn")
	heading("Nodes")
	// Light and dark.
	const theme = `document.documentElement.dataset.theme`
	before := tab.Evaluate[string](b, theme)
	b.Type("t")
	b.Await("other colours", fmt.Sprintf(`%s !== %q`, theme, before))
	b.Type("tt")
	// One namespace.
	b.Visit("list/deployments.apps")
	b.See("dashboards", "payments")
	b.Choose("Namespace", "observability")
	b.See("dashboards")
	absent("payments")
	b.Choose("Namespace", "All namespaces")
	b.See("payments")
	// A port of a pod.
	pods, err := c.Client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatal(err)
	}
	b.Visit("object/pods/shop/" + pods.Items[0].Name)
	b.Press("Forward ")
	b.See("at 127.0.0.1:")
	b.Visit("forwards")
	b.See("shop/" + pods.Items[0].Name)
	b.Press("Stop 127.0.0.1:")
	b.See("No port-forwards")
	b.Clean("controls")
}
