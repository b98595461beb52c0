package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/skiff-dev/skiff/test/browser"
)

// testBrowser opens the names of a cluster in a browser, which trusts the local authority
// once `skiff trust install` has run.
func testBrowser(t *testing.T, r *rig, name string, k *kube) {
	k.apply(t, "browser.yaml")
	k.rollout(t, "deployment/pages")
	e := r.entry(t, name)
	plain, secure := e.at(e.plain, "pages", k.namespace), e.at(e.secure, "pages", k.namespace)

	home := t.TempDir()
	untrusting := browser.StartAt(t, home)
	rejects(untrusting, t, secure)
	showsPage(untrusting, t, plain, "http/1.1")

	contains(t, "trust install", r.trust(t, home, "install"), "NSS database "+home, "installed")
	ctx := browser.StartAt(t, home)
	showsPage(ctx, t, secure, "h2")
	fresh := t.TempDir()
	contains(t, "trust install before the browser's first start", r.trust(t, fresh, "install"), "NSS database "+fresh, "installed")
	showsPage(browser.StartAt(t, fresh), t, secure, "h2")

	// The page about a Service without pods reloads, and becomes the Service's own once the
	// Service has pods.
	browser.Do(ctx, t, chromedp.Navigate(e.at(e.secure, "idle", k.namespace)+"/page"))
	contains(t, "title", browser.Run(ctx, t, chromedp.Title()), k.namespace+"/idle has no ready endpoints")
	contains(t, "page", browser.Run(ctx, t, chromedp.Text(chromedp.CSS("body"))), "kubectl --context skiff-"+name, "503 from Skiff. This page reloads by itself.")
	k.kubectl(t, "patch", "service/idle", "--patch", `{"spec": {"selector": {"app": "pages"}}}`)
	receives(ctx, t)

	contains(t, "trust remove", r.trust(t, home, "remove"), "NSS database "+home, "removed")
	rejects(browser.StartAt(t, home), t, secure)
}

// rejects checks that a browser does not trust the certificate of a base URL.
func rejects(ctx context.Context, t *testing.T, base string) {
	t.Helper()
	err := chromedp.Do(ctx, chromedp.Navigate(base+"/page"))
	if err == nil || !strings.Contains(err.Error(), "ERR_CERT_AUTHORITY_INVALID") {
		t.Errorf("%s in a browser that does not trust the authority: %v", base, err)
	}
}

// showsPage opens the page of the workload at a base URL.
func showsPage(ctx context.Context, t *testing.T, base, protocol string) {
	t.Helper()
	browser.Do(ctx, t, chromedp.Navigate(base+"/page"))
	used := browser.Run(ctx, t, chromedp.Evaluate[string](`performance.getEntriesByType("navigation")[0].nextHopProtocol`))
	equal(t, "protocol of "+base, used, protocol)
	receives(ctx, t)
}

// receives waits until the page of the workload shows all events and messages. The page
// may reload meanwhile.
func receives(ctx context.Context, t *testing.T) {
	t.Helper()
	const shown = `["events", "socket"].map(id => document.getElementById(id)?.textContent).join("")`
	eventually(t, time.Minute, "the page receives events and messages", func() error {
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](shown))
		if err == nil && got != "1 2 3 one two " {
			err = fmt.Errorf("it shows %q", got)
		}
		return err
	})
}

// trust runs `skiff trust` for a home directory. PATH lacks the programs that change the
// system's store.
func (r *rig) trust(t *testing.T, home, verb string) string {
	t.Helper()
	dir := t.TempDir()
	chromium := "chromium"
	if _, err := exec.LookPath(chromium); err != nil {
		chromium = "google-chrome" // as in scripts/host-packages.sh
	}
	for _, name := range []string{"certutil", chromium, "mkdir"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	a := r.run(t, "env", "HOME="+home, "PATH="+dir, "SKIFF_HOME="+r.home, filepath.Join(r.root, "bin/skiff"), "trust", verb)
	return a.must(t, "skiff trust", verb) + a.stderr
}
