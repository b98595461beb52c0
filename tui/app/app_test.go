package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func dev() Config { return Config{Clusters: []string{"dev"}} }

func TestDeleteAsksAndListsTheLoss(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press("down", "ctrl+d")
		p.want("Delete pod?", "shop/db-0", "one without is gone")
		p.press("n")
		if len(p.host.tasks) != 0 {
			t.Fatalf("answering no deleted the object: %v", p.host.tasks)
		}
		p.press("ctrl+d", "y")
		if len(p.host.tasks) != 1 || p.host.tasks[0].Verb != feed.VerbDelete || p.host.tasks[0].Refs[0].Name != "db-0" {
			t.Fatalf("got %v", p.host.tasks)
		}
	})
}

func TestADialogThatIsLateTakesNoKeys(t *testing.T) {
	const delay = 20 * time.Second
	play(t, 100, 30, dev(), func(p *player) {
		late := func() {
			time.Sleep(delay)
			p.settle()
		}
		p.host.api.delay = delay
		p.press(":", "deploy", "enter", "ctrl+d")
		late()
		p.want("Delete deployment?")
		p.press("n", "ctrl+d", ":", "y")
		late()
		p.reject("Delete deployment?")
		p.press("backspace", "esc", "ctrl+d", "y")
		p.want("YAML of deployment")
		late()
		p.reject("Delete deployment?")
		if len(p.host.tasks) != 0 {
			t.Errorf("did %v", p.host.tasks)
		}
	})
}

func TestDeletingAClusterRequiresItsName(t *testing.T) {
	play(t, 100, 30, Config{}, func(p *player) {
		p.press("down", "ctrl+d")
		p.want("Delete cluster dev?", "3 machines", "certificates")
		p.press("dex", "enter")
		p.want("that does not match")
		if len(p.host.ran) != 0 {
			t.Fatal("the command ran without confirmation")
		}
		p.press("backspace", "v", "enter")
		if got := fmt.Sprint(p.host.ran); got != "[Delete cluster dev]" {
			t.Fatalf("ran %s", got)
		}
		p.want("Delete cluster dev", "finished")
	})
}

func TestPauseAndResumeACluster(t *testing.T) {
	play(t, 160, 30, Config{}, func(p *player) {
		later := func() { // the daemons have been polled again
			time.Sleep(3 * time.Second)
			p.settle()
		}
		p.press("down", "p")
		p.want("Pause cluster dev?", "3 machines are frozen", "r resumes")
		p.press("y", "esc")
		later()
		p.want(" paused ", "0/3", "● worker-1", "0 running")
		p.reject("not ready")
		p.press("r", "esc")
		later()
		p.want(" running ", "3/3", "1 running")
		p.press(":", "skiff pause dev", "enter")
		p.want("skiff pause dev", "finished")
		p.press("esc", "u", "esc")
		later()
		p.want(" running ", "1 running")
		if got := fmt.Sprint(p.host.ran); got != "[Pause cluster dev Resume cluster dev skiff pause dev Start cluster dev]" {
			t.Errorf("ran %s", got)
		}
		p.press("?")
		p.want("p  pause", "resume")
	})
}

func TestActionsApplyToAllMarkedObjects(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press("/", "web", "enter", "ctrl+a", "ctrl+d", "y")
		var names []string
		for _, r := range p.host.tasks[0].Refs {
			names = append(names, r.Name)
		}
		if len(names) != 3 || !slices.ContainsFunc(names, func(n string) bool { return n == "web-7d9c5b8f4-x2x9k" }) {
			t.Fatalf("got %v", names)
		}
	})
}

func TestReadOnlyModeRejectsChanges(t *testing.T) {
	config := dev()
	config.ReadOnly = true
	play(t, 100, 30, config, func(p *player) {
		p.press("ctrl+d")
		p.want("not available in read-only mode")
		p.press("y") // YAML, not the answer to a confirmationDialog
		p.want("YAML of pod")
		p.press("esc", ":", "skiff down dev", "enter")
		p.want("not available in read-only mode")
		if len(p.host.tasks) != 0 || len(p.host.ran) != 0 {
			t.Errorf("did %v, %v", p.host.tasks, p.host.ran)
		}
	})
}

func TestFilterNarrowsAndEscapeClearsIt(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		for _, c := range []struct{ filter, there, gone string }{
			{"web", "web-7d9c5b8f4-x2x9k", "db-0"}, {"!web", "db-0", "web-7d9c5b8f4-x2x9k"},
			{"-l app=db", "db-0", "web-7d9c5b8f4-x2x9k"}, {"-f pymt", "payments", "db-0"}, {"(", "nothing", "db-0"},
		} {
			p.press("/", c.filter)
			if c.there != "nothing" {
				p.want(c.there)
			}
			p.reject(c.gone + " ")
			p.press("enter", "esc")
			p.want("db-0", "web-7d9c5b8f4-x2x9k")
		}
	})
}

func TestLogsShowAllMarkedPods(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press("/", "web", "enter", "ctrl+a", "l")
		p.want("Logs of 3 pods", "listening on")
	})
}

func TestTreeShowsTheObjectUnderTheCursor(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press("down", ":", "tree", "enter")
		p.want("Tree of pod shop/db-0")
		p.press("esc", ":", "svc", "enter", ":", "tree", "enter")
		p.want("Tree of service default/kubernetes")
	})
}

func TestRecreatedClusterGetsANewConnection(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		hosts := func(names ...string) {
			d := feed.Clusters{Freshness: live()}
			for _, name := range names {
				d.All = append(d.All, daemonapi.ClusterStatus{Name: name})
			}
			p.m.updateHosts(d)
			p.run(p.m.reconcile())
			p.settle()
		}
		before := p.host.connected
		hosts("ci")
		hosts("ci", "dev")
		if p.host.connected == before {
			t.Error("the connection of the deleted cluster is still used")
		}
		p.want("db-0", "● live")
	})
}

func TestCursorStaysOnItsRow(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press("down", "down", "down") // search-…
		key := feed.Objects{Cluster: "dev", Resource: object.Pods}.Key()
		next := p.host.api.tables["pods"]
		next.Cluster, next.Resource, next.Freshness = "dev", object.Pods, live()
		next.Rows = slices.Delete(slices.Clone(next.Rows), 0, 2)
		p.host.api.emits[key](next)
		p.settle()
		p.reject("db-0")
		p.press("ctrl+d")
		p.want("shop/search-58f6c9d7c4-p0o9i")
	})
}

func TestCursorStaysOnItsRowWhenTheFilterIsCleared(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press("/", "search", "enter", "esc", "ctrl+d")
		p.want("Delete pod?", "shop/search-58f6c9d7c4-p0o9i")
		p.press("n", ":", "wk", "enter", "/", "collector", "enter", "esc", "d")
		p.want("daemonset shop/collector")
	})
}

func TestLostDataStayVisibleWithTheirAge(t *testing.T) {
	play(t, 120, 30, dev(), func(p *player) {
		key := feed.Objects{Cluster: "dev", Resource: object.Pods}.Key()
		lost := p.host.api.tables["pods"]
		lost.Cluster, lost.Resource = "dev", object.Pods
		lost.Freshness = object.Freshness{State: object.Lost, At: noon.Add(-42 * time.Second), Problem: "cannot connect to 127.0.0.1:6443"}
		p.host.api.emits[key](lost)
		p.settle()
		p.want("no response, data is 42s old", "retrying: cannot connect", "db-0")
		p.press(":", "svc", "enter")
		p.want("Services")
		lost.Freshness = live()
		p.host.api.emits[key](lost)
		p.press("esc")
		p.want("● live", "db-0")
		p.reject("incomplete")
		lost.Freshness.Problem = "namespace team-b is unavailable: pods is forbidden"
		p.host.api.emits[key](lost)
		p.settle()
		p.want("● live, incomplete", "namespace team-b is unavailable", "db-0")
	})
}

func TestCommandCompletesResourcesAndNamespaces(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press(":", "dep", "tab", "enter")
		p.want("Deployments")
		p.press(":", "pods sh", "tab", "enter")
		p.want("Pods in shop")
		p.reject("coredns")
		p.press(":", "no-such-thing", "enter")
		p.want(`no command or resource named "no-such-thing"`)
		p.press(":", "up")
		p.press("up", "up", "esc")
	})
}

func TestACommandWaitsUntilTheResourcesAreKnown(t *testing.T) {
	playOn(t, 100, 30, dev(), true, func(p *player) {
		catalog := func(d feed.Resources) {
			d.Cluster = "dev"
			p.host.api.mu.Lock()
			emit := p.host.api.emits[feed.Catalog{Cluster: "dev"}.Key()]
			p.host.api.mu.Unlock()
			emit(d)
			p.settle()
		}
		p.press(":", "secrets", "enter")
		p.want("waiting for the resources of dev to find \"secrets\"", "Pods")
		p.press("down") // does something else
		p.reject("waiting for")
		p.press(":", "tree svc", "enter")
		p.want("waiting for the resources of dev to find \"svc\"")
		p.press(":", "deploy shop", "enter")
		catalog(feed.Resources{Freshness: object.Freshness{State: object.Lost, Problem: "timeout"}})
		p.want("waiting for the resources of dev to find \"deploy\"", "Pods")
		catalog(feed.Resources{All: served, Freshness: live()})
		p.want("Deployments in shop")
		p.reject("waiting for", "Secrets", "Services")
		p.press("esc")
		p.want("Pods")
	})
}

func TestNamespacesApplyToAllScreens(t *testing.T) {
	var saved State
	config := dev()
	config.Save = func(s State) { saved = s }
	play(t, 100, 30, config, func(p *player) {
		p.press("n", "down", "space", "down", "space", "enter")
		p.want("2 namespaces")
		if got := fmt.Sprint(saved.Namespaces["dev"]); got != "[default shop]" {
			t.Errorf("remembered %s", got)
		}
		p.press("0")
		p.want("all namespaces", "coredns")
		p.press(":", "ns shop", "enter")
		p.reject("coredns")
		p.press(":", "ns all", "enter")
		p.want("all namespaces", "coredns")
	})
}

func TestKeysCanBeRebound(t *testing.T) {
	settings, err := ParseSettings([]byte("keys: {objects.describe: Z}\naliases: {dp: deployments}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	config := dev()
	config.Settings = settings
	play(t, 100, 40, config, func(p *player) {
		p.press("d")
		p.want("Pods in all namespaces")
		p.press("?")
		p.want("Z  describe")
		p.press("esc", "Z")
		p.want("Containers:")
		p.press("esc", ":", "dp", "enter")
		p.want("Deployments")
	})
}

func TestMouseSelectsAndOpens(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		click := tea.MouseClickMsg{X: 20, Y: bodyTop + 2, Button: tea.MouseLeft}
		p.send(click)
		p.send(click)
		p.settle()
		p.want("Containers of pod shop/db-0")
		p.press("esc")
		p.send(tea.MouseClickMsg{X: 3, Y: bodyTop, Button: tea.MouseLeft})
		p.settle()
		p.want("NAMESPACE↑")
		p.send(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
		p.settle()
	})
}

func TestUnreachableClusterDoesNotBlock(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.host.down = true
		p.m.apis.apis = map[string]Kubernetes{}
		p.press(":", "svc", "enter")
		p.want("is not running")
		p.press(":", "clusters", "enter")
		p.want("Clusters on this host")
	})
}

func TestAllGoroutinesEndWithTheProgram(t *testing.T) {
	// synctest.Test fails if a goroutine of the bubble does not end.
	play(t, 100, 30, dev(), func(p *player) {
		p.press("l", "esc", "y", "esc", ":", "pulse", "enter", ":", "nodes", "enter", "ctrl+c")
		if !p.m.quitting {
			t.Error("ctrl+c did not quit")
		}
	})
}

func TestParseSettingsRejectsInvalidFiles(t *testing.T) {
	for _, text := range []string{"colour: red", "theme: pink", "keys: {fly: x}", "keys: {objects.edit: d}", "keys: [", strings.Repeat("#", maxSettings+1)} {
		if _, err := ParseSettings([]byte(text), nil); err == nil {
			t.Errorf("%.30q was accepted", text)
		}
	}
	s, err := ParseSettings(nil, []byte(`{"clusters":["dev"],"theme":"dusk"}`))
	if err != nil || s.Remembered.Clusters[0] != "dev" || s.theme().Name != "dusk" {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add("theme: paper\nkeys: {describe: D}\n", `{"clusters":["a"]}`)
	f.Fuzz(func(t *testing.T, content, remembered string) {
		if s, err := ParseSettings([]byte(content), []byte(remembered)); err == nil && s.theme() == nil {
			t.Error("settings without a theme")
		}
	})
}

func TestClusterProblemsAreShownInFull(t *testing.T) {
	play(t, 80, 24, Config{}, func(p *player) {
		p.press("down")
		p.reject("problem")
		p.host.mu.Lock()
		p.host.problems = []string{"The database is full and takes no writes: delete what is not needed, then run \"skiff etcd defrag\"."}
		p.host.mu.Unlock()
		time.Sleep(3 * time.Second) // the daemons have been polled again
		p.settle()
		p.want("problem", "The database is full and takes no writes", "run \"skiff etcd defrag\".", "up 3h")
	})
}

func TestEscapeSequencesFromNodesDoNotReachTheTerminal(t *testing.T) {
	play(t, 80, 24, Config{}, func(p *player) {
		p.host.mu.Lock()
		p.host.problems = []string{"disk \x1b]52;c;Zm9v\x07full\x1b[2J now"}
		p.host.mu.Unlock()
		p.press("down")
		time.Sleep(3 * time.Second) // the daemons have been polled again
		p.settle()
		frame := strings.Join(p.m.Frame(), "")
		if strings.Contains(frame, "\x1b]") || strings.Contains(frame, "\x1b[2J") || strings.Contains(frame, "\x07") {
			t.Errorf("%q", frame)
		}
		p.want("disk full now")
	})
}

func TestExpiringCertificatesAreHighlighted(t *testing.T) {
	play(t, 100, 40, Config{Clusters: []string{"dev"}, Start: "controlplane"}, func(p *player) {
		for _, c := range []struct {
			rest time.Duration
			tone theme.Tone
			text string
		}{
			{300 * 24 * time.Hour, theme.Dim, "expires in 300d"}, {20 * 24 * time.Hour, theme.Warn, "expires in 20d"}, {-24 * time.Hour, theme.Bad, "expired 2026-11-20"},
		} {
			p.host.mu.Lock()
			p.host.certificates = c.rest
			p.host.mu.Unlock()
			time.Sleep(3 * time.Second) // the daemons have been polled again
			p.settle()
			want := p.m.world.Theme.Paint(c.tone, "2 certificates, etcd/peer "+c.text)
			if frame := strings.Join(p.m.Frame(), "\n"); !strings.Contains(frame, want) {
				t.Errorf("no %q in\n%s", want, frame)
			}
		}
	})
}
