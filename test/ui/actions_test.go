package ui_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Keys that only these tests use.
const (
	ctrlA   = "\x01"
	ctrlU   = "\x15"
	ctrlEnd = "\x1d" // ctrl+]
)

// TestActionsOnARealCluster runs all actions on a cluster whose nodes run
// containers.
func TestActionsOnARealCluster(t *testing.T) {
	c := newCluster(t, "dev")
	// This editor changes the color of the shop. If the file "others" exists, somebody else
	// changes the shop in the meantime.
	editor := filepath.Join(c.home, "editor")
	script := "#!/bin/sh\nsed -i 's/value: green/value: blue/' \"$1\"\nif rm '" + filepath.Join(c.home, "others") + "' 2>/dev/null; then\n" +
		filepath.Join(c.root, "build/test/bin/kubectl") + " --context skiff-dev -n shop annotate deployment/web of=others >/dev/null\nfi\n"
	if err := os.WriteFile(editor, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	// This browser keeps the URL that it opens.
	browser := filepath.Join(c.home, "xdg-open")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\necho \"$1\" >'"+filepath.Join(c.home, "opened")+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := c.open(t, "PATH="+c.home+":"+os.Getenv("PATH"), "DISPLAY=:99", "EDITOR="+editor, "VISUAL=", "KUBE_EDITOR=", "SKIFF_EDITOR=")
	s.see("Pods in all namespaces", "live")
	for _, one := range []struct {
		name string
		test func(*testing.T, *realCluster, *session)
	}{
		{"load an image", testLoadImage}, // needed by the other tests
		{"logs", testLogs}, {"shell", testShell}, {"attach", testAttach}, {"copy", testCopy}, {"forward", testForward}, {"addresses", testAddresses},
		{"edit, history, undo", testRollouts}, {"others change what is edited", testEditConflict}, {"scale and restart", testScale}, {"tree", testTree}, {"delete", testDelete},
		{"graphs and stored logs", testRecords},
		{"every screen", testScreens}, {"skiff without arguments", testNoArguments}, {"nodes", testNodes}, {"snapshot", testSnapshot}, {"clusters", testClusters},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(t, c, s.in(t)) })
	}
}

func testLoadImage(t *testing.T, c *realCluster, s *session) {
	s.visit("clusters", "", "sandbox", "running")
	s.press("i")
	s.see("Load image into dev")
	s.press(filepath.Join(c.root, "build/test/images/workload.tar"), enter)
	s.finishes("Load image")
	c.kubectl(t, "apply", "-f", "testdata/shop.yaml")
	c.kubectl(t, "apply", "-f", filepath.Join(c.root, "test/e2e/testdata/crd.yaml"))
	for _, what := range []string{"deployment/web", "statefulset/db", "daemonset/collector"} {
		c.kubectl(t, "rollout", "status", what, "--timeout=5m")
	}
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/echo", "pod/console", "--timeout=5m")
}

func testLogs(t *testing.T, c *realCluster, s *session) {
	pods := strings.Fields(c.kubectl(t, "get", "pods", "-l", "app=web", "-o", "name"))
	s.visit("pods shop", "^web-", "2/2")
	s.press("g", "l")
	s.see("Logs of pod shop/web-", "following", "serving on", "/cart/")
	s.press("J")
	s.see(`"path":"/cart/`)
	s.press("J", "t", "w")
	s.see("timestamps", "wrapped")
	s.press("f")
	s.gone("following")
	s.press("f", "/", "serving", enter)
	s.see("serving on", "/serving")
	s.gone("/cart/")
	s.press(escape, escape, ctrlA, "l")
	s.see("Logs of 2 pods")
	for _, p := range pods {
		s.see(strings.TrimPrefix(p, "pod/") + "/access")
	}
	s.visit("deploy shop", "^web", "2/2")
	s.press("l")
	s.see("Logs of deployment shop/web", "/access")
	s.visit("pods shop", "payments")
	eventually(t, "the container was restarted", func() error {
		if n := c.kubectl(t, "get", "pods", "-l", "app=payments", "-o", "jsonpath={.items[0].status.containerStatuses[0].restartCount}"); n == "0" {
			return errors.New("not restarted yet")
		}
		return nil
	})
	s.press("p")
	s.see("previous")
	eventually(t, "the log of the previous container", func() error {
		if strings.Contains(s.Text(), "the ledger does not answer") {
			return nil
		}
		// The kubelet only keeps the log of one previous container, which a restart
		// may just have replaced.
		if strings.Contains(s.Text(), "finished") {
			s.press("p", "p")
		}
		return errors.New(s.Text())
	})
}

func testShell(_ *testing.T, _ *realCluster, s *session) {
	s.visit("pods shop", "db-0", "Running")
	s.press("s")
	s.see("#")
	s.press("echo in-$((40+2)); tty", enter)
	s.see("in-42", "/dev/pts/")
	s.press("exit", enter)
	s.see("Pods in shop")
	s.press("?") // the first key after the shell goes to the dashboard
	s.see("Help: ")
	s.press(escape)
}

func testAttach(_ *testing.T, _ *realCluster, s *session) {
	s.visit("pods shop", "echo", "Running")
	s.press("a")
	s.see("ctrl+] to detach")
	s.press("hello", enter)
	s.see("you said hello")
	s.press(ctrlEnd)
	s.see("Pods in shop", "Running")
	s.visit("pods shop", "console", "Running")
	s.press("a")
	s.see("ctrl+] to detach")
	s.press(enter, "echo at-$((20+1))", enter)
	s.see("at-21")
	s.press(ctrlEnd)
	s.see("Pods in shop", "Running")
}

func testCopy(t *testing.T, _ *realCluster, s *session) {
	s.visit("pods shop", "db-0", "Running")
	// OSC 52 sets the clipboard.
	seen := s.Next("\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte("db-0")))
	s.press("c")
	s.see("copied db-0")
	select {
	case <-seen:
	case <-time.After(limit):
		t.Error("the clipboard was not set")
	}
}

// testAddresses opens a load balancer in a browser, which is a script that keeps the
// URL, and copies one of its addresses.
func testAddresses(t *testing.T, c *realCluster, s *session) {
	c.kubectl(t, "expose", "deployment", "web", "--name", "edge", "--type", "LoadBalancer", "--port", "8765", "--target-port", "8080")
	t.Cleanup(func() { c.kubectl(t, "delete", "service", "edge") })
	s.visit("svc shop", "edge", "LoadBalancer", "127.0.0.1:8765", "http://edge.shop."+c.name+".localhost")
	s.press("b")
	s.see("opened http://edge.shop." + c.name + ".localhost")
	eventually(t, "the browser has the URL", func() error {
		opened, err := os.ReadFile(filepath.Join(c.home, "opened"))
		if err == nil && !strings.HasPrefix(string(opened), "http://edge.shop."+c.name+".localhost") {
			err = fmt.Errorf("it has %q", opened)
		}
		return err
	})
	seen := s.Next("\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte("127.0.0.1:8765")))
	s.press("C")
	s.see("Copy address: service shop/edge", "127.0.0.1:8765")
	s.press(enter)
	select {
	case <-seen:
	case <-time.After(limit):
		t.Error("the clipboard was not set")
	}
	s.visit("addresses", "edge", "load balancer", "127.0.0.1:8765", "name")
}

var forwarded = regexp.MustCompile(`forwarding 127\.0\.0\.1:(\d+) to `)

func testForward(t *testing.T, c *realCluster, s *session) {
	s.visit("deploy shop", "^web", "2/2")
	s.press("f")
	s.see("Port-forward to deployment shop/web", "8080")
	s.press(enter, enter)
	s.see("forwarding 127.0.0.1:", " to deployment shop/web")
	port := forwarded.FindStringSubmatch(s.Text())
	if port == nil {
		t.Fatal(s.Text())
	}
	s.press(":", "forwards", enter)
	s.see("127.0.0.1:"+port[1], "deployment shop/web")
	first := ask(t, port[1])
	c.kubectl(t, "delete", "pods", "-l", "app=web", "--wait=true")
	eventually(t, "the port is forwarded to another pod", func() error {
		response, err := http.Get("http://127.0.0.1:" + port[1] + "/hostname")
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		content, err := io.ReadAll(response.Body)
		if err == nil && string(content) == first {
			err = fmt.Errorf("it is forwarded to %s", content)
		}
		return err
	})
	s.press(ctrlD)
	s.see("no port-forwards")
	if response, err := http.Get("http://127.0.0.1:" + port[1] + "/"); err == nil {
		_ = response.Body.Close()
		t.Error("it is still forwarded")
	}
}

func ask(t *testing.T, port string) string {
	t.Helper()
	response, err := http.Get("http://127.0.0.1:" + port + "/hostname")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// color returns the color in the pod template of the shop.
func color(t *testing.T, c *realCluster) string {
	t.Helper()
	return c.kubectl(t, "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].value}")
}

func waitForColor(t *testing.T, c *realCluster, want string) {
	t.Helper()
	eventually(t, "the shop is "+want, func() error {
		if got := color(t, c); got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

func testRollouts(t *testing.T, c *realCluster, s *session) {
	s.visit("deploy shop", "^web", "web")
	s.press("e")
	waitForColor(t, c, "blue")
	s.see("Deployments in shop")
	s.press("h")
	s.see("REVISION", "2  ")
	s.press(escape, "u")
	s.see("Undo the last rollout of deployment?")
	s.press("y")
	waitForColor(t, c, "green")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=5m")
}

// testEditConflict edits a deployment that others change at the same time.
func testEditConflict(t *testing.T, c *realCluster, s *session) {
	if err := os.WriteFile(filepath.Join(c.home, "others"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.visit("deploy shop", "^web", "web")
	s.press("e")
	s.see("was changed while you edited it", "of: others", "[a] apply your changes")
	s.press("a", enter)
	waitForColor(t, c, "blue")
	if of := c.kubectl(t, "get", "deployment", "web", "-o", "jsonpath={.metadata.annotations.of}"); of != "others" {
		t.Errorf("the change of others is %q", of)
	}
	s.see("Deployments in shop")
	s.press("u")
	s.see("Undo the last rollout of deployment?")
	s.press("y")
	waitForColor(t, c, "green")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=5m")
}

// testRecords shows graphs of a pod and of a node, and finds logs of a pod that is gone and
// of restarted containers.
func testRecords(t *testing.T, c *realCluster, s *session) {
	c.kubectl(t, "run", "fleeting", "--image=skiff.test/workload:1", "--restart=Never", "--command", "--", "sh", "-c", "echo a last word; sleep 1; echo error: out of paper")
	c.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/fleeting", "--timeout=5m")
	c.kubectl(t, "delete", "pod", "fleeting")
	for pod, texts := range map[string][]string{"pods shop": {"Name:", "db-0"}, "nodes": {"Name:", "worker-1"}} {
		s.visit(pod, texts[1], texts[1])
		s.press("d")
		s.see(append(texts, "Last 1h", "CPU", "Memory", "Received", "at most", "now")...)
		s.press("[")
		s.see("Last 15m", "-15m")
		s.press("m")
		s.gone("Last 15m")
	}
	s.press(escape, escape, ":", "logs fleeting", enter)
	s.see("Stored logs of fleeting*", "a last word", "out of paper")
	s.press("L", down, down, "paper !word", enter, enter, enter)
	s.see("fleeting/fleeting", "error: out of paper")
	s.gone("a last word")
	s.press(escape, ":", "logs payments", enter)
	s.see("Stored logs of payments*", "#1", "the ledger does not answer")
	s.press("L", down, down, down, "* | stats count() entries", enter, enter)
	s.see("entries=")
}

func testScale(t *testing.T, c *realCluster, s *session) {
	s.visit("deploy shop", "^web", "2/2")
	s.press("s")
	s.see("Scale deployment shop/web")
	s.press(ctrlU, "3", enter)
	s.until("3/3")
	before := c.kubectl(t, "get", "pods", "-l", "app=web", "-o", "name")
	s.press("r")
	s.see("Restart deployment?", "replaced one by one")
	s.press("y")
	eventually(t, "the pods are replaced", func() error {
		c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=5m")
		if c.kubectl(t, "get", "pods", "-l", "app=web", "-o", "name") == before {
			return errors.New("the pods are the same")
		}
		return nil
	})
}

func testTree(_ *testing.T, _ *realCluster, s *session) {
	s.visit("deploy shop", "^web", "web")
	s.press(":", "tree", enter)
	s.see("Tree of deployment shop/web", "ReplicaSet web-", "Pod web-", "access")
	s.press(ctrlD)
	s.see("Delete deployment?", "running")
	s.press("n", down, down, "l") // of the first pod
	s.see("Logs of pod shop/web-", "/cart/")
	s.visit("clusters", "", "Clusters on this host")
	s.press(":", "tree", enter)
	s.see("Deployments", "t shows the tree")
}

func testDelete(t *testing.T, c *realCluster, s *session) {
	s.visit("pods shop", "db-0", "Running")
	before := c.kubectl(t, "get", "pod", "db-0", "-o", "jsonpath={.metadata.uid}")
	s.press(ctrlD)
	s.see("Delete pod?", "shop/db-0", "has an owner is replaced")
	s.press("y")
	eventually(t, "db-0 is replaced", func() error {
		now, err := c.run(filepath.Join(c.root, "build/test/bin/kubectl"), "--context", "skiff-dev", "-n", "shop", "get", "pod", "db-0", "-o", "jsonpath={.metadata.uid}")
		if err == nil && now == before {
			err = errors.New("db-0 is the same pod")
		}
		return err
	})
	c.kubectl(t, "create", "namespace", "spare")
	c.kubectl(t, "create", "service", "clusterip", "idle", "--tcp=80", "-n", "spare")
	s.visit("ns", "spare", "Active")
	s.press(ctrlD)
	s.see("Delete namespace?", "EVERYTHING", "It contains 1 service.", "Type spare")
	s.press("spare", enter)
	s.gone("Active")
}

// testScreens opens every screen that has content in this cluster.
func testScreens(_ *testing.T, _ *realCluster, s *session) {
	for command, texts := range map[string][]string{
		"sts shop": {"StatefulSets in shop", "db"}, "ds shop": {"DaemonSets in shop", "collector"}, "jobs shop": {"Jobs in shop", "migrate", "Complete"},
		"cj shop": {"CronJobs in shop", "0 3 * * *"}, "svc shop": {"Services in shop", "web"}, "endpointslices shop": {"EndpointSlices in shop", "8080"},
		"ing shop": {"Ingresses in shop", "shop.example.com"}, "cm shop": {"ConfigMaps in shop", "kube-root-ca.crt"}, "secrets shop": {"Secrets in shop", "db-login"},
		"pvc shop": {"PersistentVolumeClaims in shop", "Bound"}, "pv": {"PersistentVolumes", "Bound"}, "sc": {"StorageClasses"}, "events shop": {"Events in shop", "payments"},
		"wk shop": {"Workloads", "DaemonSet", "collector", "CronJob"}, "resources": {"Resources in dev", "configmaps", "cm,config"}, "dp shop": {"Deployments in shop"},
		"crd": {"CustomResourceDefinitions", "boats"}, "boats": {"Boats in all namespaces"}, "pulse": {"Pulse", "worker-1"}, "controlplane": {"checks passed", "control-plane-1"},
	} {
		s.visit(command, "", append(texts, "live")...)
	}
}
