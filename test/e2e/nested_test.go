package e2e

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nestedTimeout bounds a skiff command inside an emulated machine, which starts
// the cluster on two emulated CPUs.
const nestedTimeout = 25 * time.Minute

const (
	nestedDir  = "/var/nested"
	nestedName = "inner"
	// nestedMiB is the memory of the node in the nested cluster.
	nestedMiB = 1536
)

// nested is a node of a cluster on which skiff runs.
type nested struct {
	*rig
	cluster, node string
}

// TestSandboxesOnCgroup2 creates a cluster of sandboxes on a kernel that only has
// cgroup v2: inside a virtual machine of another cluster. It checks the cgroups of
// the node and its pods, pauses, deletes and kills the cluster, and checks that
// the machine is unchanged afterwards.
func TestSandboxesOnCgroup2(t *testing.T) {
	if os.Getenv("SKIFF_E2E_CGROUP2") == "" {
		t.Skip("a cluster inside an emulated machine takes many minutes: run `make e2e-cgroup2`")
	}
	r := newRig(t)
	if r.sandboxed {
		t.Skip("the node of a sandbox has the cgroups of the host")
	}
	const name = "outer"
	t.Cleanup(func() { r.discard(t, name) })
	a := r.trySkiff(t, "up", name, "--control-planes", "1", "--workers", "0", "--memory", "4Gi")
	t.Logf("up of the outer cluster: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		t.FailNow()
	}
	n := &nested{rig: r, cluster: name, node: "control-plane-1"}
	equal(t, "the machine's cgroups", strings.TrimSpace(n.sh(t, "grep -o ' cgroup2* cgroup2* ' /proc/self/mountinfo")), "cgroup2 cgroup2")
	n.copySkiff(t)
	before := n.state(t)

	r.subtest(t, "Up", func(t *testing.T) {
		n.up(t)
		n.skiff(t, "image", "load", "-c", nestedName, nestedDir+"/build/test/images/workload.tar")
	})
	if !t.Failed() {
		r.subtest(t, "Cgroups", n.testCgroups)
		r.subtest(t, "Pause", n.testPause)
	}
	r.subtest(t, "Down", func(t *testing.T) {
		n.skiff(t, "down", nestedName)
		n.assertUnchanged(t, before)
	})
	r.subtest(t, "Kill", func(t *testing.T) { n.testKill(t, before) })
}

// copySkiff copies the programs, the image and the test image into the machine,
// with the layout of a checkout.
func (n *nested) copySkiff(t *testing.T) {
	t.Helper()
	line := fmt.Sprintf("tar cf - -C %s bin/skiff bin/image build/test/bin/kubectl build/test/images/workload.tar | %s shell -c %s %s -- sh -c 'mkdir -p %[5]s && tar xf - -C %[5]s'",
		n.root, filepath.Join(n.root, "bin/skiff"), n.cluster, n.node, nestedDir)
	a := n.run(t, "sh", "-c", line)
	t.Logf("copied in %.1f s", a.took.Seconds())
	a.must(t, "copy skiff into the machine")
}

// try runs a shell command in the machine, with the environment for skiff.
func (n *nested) try(t *testing.T, line string) commandResult {
	t.Helper()
	line = fmt.Sprintf("mkdir -p %[1]s && cd %[1]s && export SKIFF_HOME=%[1]s/home KUBECONFIG=%[1]s/kubeconfig PATH=%[1]s/bin:%[1]s/build/test/bin:$PATH; ", nestedDir) + line
	a, err := n.attempt(nestedTimeout, filepath.Join(n.root, "bin/skiff"), "shell", "-c", n.cluster, n.node, "--", "sh", "-c", line)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sh is try for a command that must succeed.
func (n *nested) sh(t *testing.T, line string) string {
	t.Helper()
	return n.try(t, line).must(t, "in the machine:", line)
}

func (n *nested) skiff(t *testing.T, args ...string) string {
	t.Helper()
	return n.sh(t, "skiff "+strings.Join(args, " "))
}

func (n *nested) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return n.sh(t, "kubectl "+strings.Join(args, " "))
}

func (n *nested) up(t *testing.T) {
	t.Helper()
	a := n.try(t, nestedUp)
	t.Logf("up inside the machine: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		n.save(t, n.try(t, "cat home/clusters/*/daemon.log home/clusters/*/vm/*/serial.log").stdout, "failed-nested", "logs.txt")
		t.FailNow()
	}
}

var nestedUp = fmt.Sprintf("skiff up %s --driver sandbox --control-planes 1 --workers 0 --memory %dMi", nestedName, nestedMiB)

// group returns the directory of the nested node's cgroup.
func (n *nested) group(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(n.sh(t, "ls -d /sys/fs/cgroup/skiff-*/control-plane-1"))
}

// testCgroups checks the cgroups of pods of all QoS classes, and lets a pod exceed
// its memory limit.
func (n *nested) testCgroups(t *testing.T) {
	group := n.group(t)
	for file, want := range map[string]string{"memory.max": strconv.Itoa(nestedMiB << 20), "cpu.weight": "200"} {
		equal(t, "the node's "+file, strings.TrimSpace(n.sh(t, "cat "+path.Join(group, file))), want)
	}
	for class, resources := range map[string]string{
		"guaranteed": `{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"cpu":"100m","memory":"64Mi"}}`,
		"burstable":  `{"requests":{"memory":"16Mi"},"limits":{"memory":"48Mi"}}`,
		"besteffort": `{}`,
	} {
		n.kubectl(t, "run", class, "--image=skiff.test/workload:1", "--overrides="+quoted(`{"spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":"skiff.test/workload:1","resources":`+resources+`}]}}`))
	}
	n.kubectl(t, "wait", "--for=condition=Ready", "--timeout=10m", "pod", "--all")
	for class, c := range map[string]struct{ below, memory, cpu string }{
		"guaranteed": {"kubepods", strconv.Itoa(64 << 20), "10000 100000"},
		"burstable":  {"kubepods/burstable", strconv.Itoa(48 << 20), "max 100000"},
		"besteffort": {"kubepods/besteffort", "max", "max 100000"},
	} {
		uid := n.kubectl(t, "get", "pod", class, "-o", "jsonpath={.metadata.uid}")
		dir := path.Join(group, c.below, "pod"+uid)
		equal(t, "memory.max of the "+class+" pod", strings.TrimSpace(n.sh(t, "cat "+path.Join(dir, "memory.max"))), c.memory)
		equal(t, "cpu.max of the "+class+" pod", strings.TrimSpace(n.sh(t, "cat "+path.Join(dir, "cpu.max"))), c.cpu)
	}
	equal(t, "a program in a pod", strings.TrimSpace(n.kubectl(t, "exec", "besteffort", "--", "hostname")), "besteffort")
	n.kubectl(t, "run", "greedy", "--restart=Never", "--image=skiff.test/workload:1", "--overrides="+
		quoted(`{"spec":{"containers":[{"name":"c","image":"skiff.test/workload:1","command":["dd","if=/dev/zero","of=/dev/null","bs=200M","count=1"],"resources":{"limits":{"memory":"48Mi"}}}]}}`))
	n.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=10m", "pod/greedy")
	equal(t, "reason of the pod that exceeded its limit", n.kubectl(t, "get", "pod", "greedy", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.reason}"), "OOMKilled")
}

// quoted quotes a word without single quotes for the shell.
func quoted(word string) string { return "'" + word + "'" }

func (n *nested) testPause(t *testing.T) {
	group := n.group(t)
	frozen := func() string { return strings.TrimSpace(n.sh(t, "grep frozen "+path.Join(group, "cgroup.events"))) }
	used := func() string { return strings.TrimSpace(n.sh(t, "grep usage_usec "+path.Join(group, "cpu.stat"))) }
	equal(t, "before", frozen(), "frozen 0")
	n.skiff(t, "pause", nestedName)
	equal(t, "paused", frozen(), "frozen 1")
	before := used()
	time.Sleep(frozenTime)
	equal(t, "CPU time of the paused node", used(), before)
	contains(t, "list of a paused cluster", n.skiff(t, "list"), "paused")
	n.skiff(t, "resume", nestedName)
	equal(t, "resumed", frozen(), "frozen 0")
	n.kubectl(t, "wait", "--for=condition=Ready", "--timeout=10m", "pod/besteffort", "node/control-plane-1")
}

// testKill kills all processes of the cluster while it starts.
func (n *nested) testKill(t *testing.T, before map[string]string) {
	n.sh(t, nestedUp+` >/dev/null 2>&1 &
		i=0; until ls home/clusters/*/vm/*/pid 2>/dev/null || [ $((i+=1)) = 300 ]; do sleep 1; done; sleep 20
		init=$(cat home/clusters/*/vm/*/pid)
		for p in /proc/[0-9]*; do case $(readlink $p/exe) in `+nestedDir+`/*) kill -9 ${p#/proc/};; esac; done
		kill -9 $init 2>/dev/null || :`)
	n.skiff(t, "down", nestedName)
	n.assertUnchanged(t, before)
}

// state returns the parts of the machine's state that a nested cluster must
// restore, each as a sorted list.
func (n *nested) state(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for what, line := range map[string]string{
		"mounts":     "cut -d' ' -f3- /proc/self/mountinfo",
		"cgroups":    "find /sys/fs/cgroup -type d",
		"namespaces": "readlink /proc/[0-9]*/ns/* 2>/dev/null",
		"interfaces": "ls /sys/class/net",
		"routes":     "ip route show table all; ip rule",
		"rules":      "nft -s list ruleset",
		"loops":      "losetup -a",
		"processes":  "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null | grep -v -e 'sh -c' -e '^tr ' -e '^sort'",
		"sockets":    "grep -o '[@/].*' /proc/net/unix | grep nested || :",
		"files":      "ls " + nestedDir + "/home/clusters 2>/dev/null || :",
	} {
		state[what] = n.sh(t, "("+line+") | sort -u")
	}
	return state
}

// assertUnchanged waits until the state of the machine is as before. The kernel
// removes namespaces some time after their last process.
func (n *nested) assertUnchanged(t *testing.T, before map[string]string) {
	t.Helper()
	eventually(t, waitLimit, "the machine is unchanged", func() error {
		now := n.state(t)
		for what := range before {
			if now[what] != before[what] {
				return fmt.Errorf("%s before\n%s\nnow\n%s", what, before[what], now[what])
			}
		}
		return nil
	})
}
