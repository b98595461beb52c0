package app

import (
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

func TestScalingDownAsks(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press(":", "deploy", "enter", "s", "backspace", "6", "enter")
		if len(p.host.tasks) != 1 || p.host.tasks[0].Args["replicas"] != "6" {
			t.Fatalf("scaling up: %v", p.host.tasks)
		}
		p.press("s", "backspace", "1", "enter")
		p.want("down from 4 to 1?", "3 pods are deleted")
		p.press("n")
		if len(p.host.tasks) != 1 {
			t.Fatalf("answering no scaled: %v", p.host.tasks)
		}
		p.press("s", "backspace", "x", "enter")
		p.want(`invalid number of replicas "x"`)
	})
}

func TestDestructiveCommandsAsk(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		for command, word := range map[string]string{"down dev": "down", "etcd restore dev.db": "restore"} {
			p.press(":", "skiff "+command, "enter")
			p.want("Run skiff "+command+"?", "lost", "Type "+word)
			p.press("esc")
		}
		p.press(":", "skiff stop dev", "enter")
		p.want("Run skiff stop dev?")
		p.press("n")
		if len(p.host.ran) != 0 {
			t.Fatalf("ran %v", p.host.ran)
		}
		p.press(":", "skiff status", "enter")
		if len(p.host.ran) != 1 {
			t.Fatalf("ran %v", p.host.ran)
		}
	})
}

func TestActionsApplyToWorkloadsOfAllKinds(t *testing.T) {
	play(t, 100, 30, dev(), func(p *player) {
		p.press(":", "wk", "enter")
		p.want("Workloads in all namespaces  1/7", "CronJob", "0 3 * * *")
		p.press("space", "down", "space", "ctrl+d") // a Deployment and a StatefulSet
		p.want("Delete 2 objects?", "deployment shop/payments", "statefulset shop/db")
		p.press("y")
		if refs := p.host.tasks[0].Refs; len(refs) != 2 || refs[1].Resource.ID() != "statefulsets.apps" {
			t.Fatalf("got %v", refs)
		}
		p.press("/", "-l app=report", "enter")
		p.want("report")
		p.reject("payments")
	})
}

func TestLongFailureIsShownInADialog(t *testing.T) {
	play(t, 80, 24, dev(), func(p *player) {
		p.host.api.refuse = "it is forbidden"
		p.press("ctrl+d", "y")
		p.want("it is forbidden")
		p.reject("─ Error ─")
		p.host.api.refuse = "pods \"coredns\" is forbidden: User \"alice\" cannot delete resource \"pods\" in API group \"\" in the namespace \"kube-system\""
		p.press("ctrl+d", "y")
		p.want("─ Error ─", "in the namespace", "kube-system\"", "close")
		p.press("j", "y")
		p.want("─ Error ─")
		p.press("enter")
		p.reject("─ Error ─", "YAML of")
	})
}

func TestCommandFailureIsShownOnceInFull(t *testing.T) {
	play(t, 80, 24, dev(), func(p *player) {
		p.host.refused = "\"x y\" is not a valid cluster name"
		p.press(":", "skiff up", "enter")
		p.want("skiff: \"x y\" is not a valid cluster name; lower-case letters", "nd no more than 40 of them", "failed")
		if n := strings.Count(p.text(), "is not a valid"); n != 1 {
			t.Errorf("shown %d times:\n%s", n, p.text())
		}
	})
}

func TestPodsAreSortedByUsage(t *testing.T) {
	play(t, 140, 30, dev(), func(p *player) {
		p.press("M")
		p.want("MEMORY↓", "▌ shop          web-7d9c5b8f4-zzp0q")
		p.press("C", "C")
		p.want("CPU↑", "▌ kube-system   coredns")
	})
}

func TestBreadcrumbsHaveNoDuplicates(t *testing.T) {
	play(t, 120, 40, dev(), func(p *player) {
		p.press(":", "svc", "enter", ":", "nodes", "enter", ":", "svc", "enter")
		p.want("pods › nodes › Services")
		p.press("esc")
		p.want("pods › Nodes of dev")
	})
}

func TestPodOpensItsNode(t *testing.T) {
	play(t, 120, 40, dev(), func(p *player) {
		p.press("o")
		p.want("pods › Nodes of dev", "▌ worker-2", "DiskPressure")
	})
}

func TestClickOnABreadcrumbGoesBack(t *testing.T) {
	play(t, 120, 30, dev(), func(p *player) {
		p.press(":", "deploy", "enter", "d")
		p.want("pods › deployments ›")
		p.send(tea.MouseClickMsg{X: 9, Y: bodyTop - 1, Button: tea.MouseLeft})
		p.settle()
		p.want("pods › Deployments in all namespaces")
		p.send(tea.MouseClickMsg{X: 1, Y: bodyTop - 1, Button: tea.MouseLeft})
		p.settle()
		p.want("Pods in all namespaces")
	})
}

func TestLastScreenIsRestored(t *testing.T) {
	var saved State
	config := dev()
	config.Save = func(s State) { saved = s }
	play(t, 100, 30, config, func(p *player) {
		p.press(":", "svc", "enter", ">", "d") // a description is not a first screen
	})
	if saved.Resource == nil || saved.Resource.Name != "services" || saved.Orders["services"].By != "Namespace" {
		t.Fatalf("remembered %+v", saved)
	}
	config.Settings.Remembered = saved
	play(t, 100, 30, config, func(p *player) {
		p.want("Services in all namespaces", "NAMESPACE↑")
		p.press(":", "pulse", "enter")
	})
	config.Settings.Remembered = saved
	play(t, 100, 30, config, func(p *player) { p.want("Pulse of dev") })
}

func TestResourceCommandTakesFilters(t *testing.T) {
	settings, err := ParseSettings(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	play(t, 120, 30, Config{Clusters: []string{"dev"}, Settings: settings}, func(p *player) {
		p.press(":", "po app=db", "enter")
		p.want("db-0", "/-l app=db")
		p.reject("coredns")
		p.press(":", "po @nowhere", "enter")
		p.want(`cluster "nowhere" is not shown`)
		p.press(":", "ctx dev,ci", "enter", ":", "po @ci", "enter")
		p.want("Pods of ci in all namespaces  1/7")
		p.press(":", "dp", "enter") // the alias from k9s
		p.want("Deployments")
		p.press(":", "po shop", "enter", "0")
		p.want("Pods in all namespaces", "coredns")
	})
}
