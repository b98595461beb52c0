package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// testBuild builds images, without a registry, and runs them on every node.
func testBuild(t *testing.T, r *rig, name string, k *kube) {
	r.skiff(t, "image", "load", "--cluster", name, r.image("busybox.tar"))
	r.subtest(t, "Stages", func(t *testing.T) { testBuildStages(t, r, name, k) })
	r.subtest(t, "FromScratch", func(t *testing.T) {
		box, err := os.ReadFile(filepath.Join(r.root, "build/test/cache/busybox-"+runtime.GOARCH))
		if err != nil {
			t.Fatal(err)
		}
		dir := filesIn(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY --chmod=755 box /bin/busybox\n", "box": string(box)})
		r.build(t, name, "skiff.test/scratch:1", dir)
		k.holds(t, "scratch", "skiff.test/scratch:1")
	})
	r.subtest(t, "FromStandardInput", func(t *testing.T) {
		command := exec.CommandContext(t.Context(), filepath.Join(r.root, "bin/skiff"), "image", "build", "--cluster", name, "-t", "skiff.test/stdin:1", "-")
		command.Env, command.Stdin = r.env, strings.NewReader("FROM skiff.test/busybox:1\nRUN echo built > /built\n")
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	})
	r.subtest(t, "FromRegistry", func(t *testing.T) {
		base := r.registry(t).Address + "/e2e/build-base:1"
		push(t, base, r.busybox(t))
		dir := filesIn(t, map[string]string{"Dockerfile": "FROM " + base + "\nRUN grep Seccomp: /proc/self/status > /seccomp\n"})
		r.build(t, name, "skiff.test/pulled:1", dir)
		contains(t, "confinement of steps", k.holds(t, "pulled", "skiff.test/pulled:1", "cat", "/seccomp"), "2")
	})
	r.subtest(t, "Push", func(t *testing.T) {
		pushed := r.registry(t).Address + "/e2e/build-pushed:1"
		a := r.build(t, name, pushed, filesIn(t, map[string]string{"Dockerfile": "FROM skiff.test/busybox:1\nRUN echo pushed > /pushed\n"}), "--push")
		contains(t, "message", a.stdout, "pushed "+pushed+" as sha256:")
		contains(t, "registry", r.skiff(t, "registry", "list"), "e2e/build-pushed")
		k.holds(t, "pushed", pushed)
	})
	r.subtest(t, "FailingStep", func(t *testing.T) {
		dir := filesIn(t, map[string]string{"Dockerfile": "FROM skiff.test/busybox:1\nRUN echo about to fail; exit 7\n"})
		a := r.trySkiff(t, "image", "build", "--cluster", name, "-t", "skiff.test/fails:1", dir)
		equal(t, "exit code", a.code, 1)
		contains(t, "output of the step", a.stderr, "about to fail")
		contains(t, "message", a.stderr, `skiff: process "/bin/sh -c echo about to fail; exit 7" did not complete successfully: exit code: 7`)
		if images := r.skiff(t, "image", "list", "--cluster", name); strings.Contains(images, "skiff.test/fails") {
			t.Errorf("the failed image was loaded:\n%s", images)
		}
	})
	r.subtest(t, "NoRegistry", func(t *testing.T) {
		for line, hint := range map[string]string{
			"FROM 127.0.0.1:1/none:1\n": "skiff image load",
			"# syntax=127.0.0.1:1/frontend:1\nFROM scratch\nCOPY Dockerfile /\n": "# syntax=",
		} {
			a := r.trySkiff(t, "image", "build", "--cluster", name, "-t", "skiff.test/none:1", filesIn(t, map[string]string{"Dockerfile": line}))
			equal(t, "exit code", a.code, 1)
			contains(t, "message", a.stderr, hint)
		}
	})
	r.subtest(t, "Interrupted", func(t *testing.T) { testBuildInterrupted(t, r, name) })
	r.subtest(t, "Prune", func(t *testing.T) {
		if kept := r.prune(t, "--dry-run"); kept == 0 {
			t.Error("nothing would be freed")
		}
		if freed := r.prune(t); freed == 0 {
			t.Error("nothing was freed")
		}
		equal(t, "bytes afterwards", r.prune(t, "--dry-run"), 0)
	})
}

func testBuildStages(t *testing.T, r *rig, name string, k *kube) {
	files := map[string]string{
		"Dockerfile": `# syntax=docker/dockerfile:1
FROM skiff.test/busybox:1 AS compile
ARG GREETING=none
COPY . /src
RUN echo "$GREETING" > /greeting && ls -A /src > /files
RUN --mount=type=secret,id=token cp /run/secrets/token /token
RUN ip -o address > /addresses

FROM skiff.test/busybox:1
COPY --from=compile /greeting /files /token /addresses /
`,
		".dockerignore": "excluded\n",
		"excluded":      "not sent",
		"included":      "sent",
	}
	dir := filesIn(t, files)
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--build-arg", "GREETING=hello", "--secret", "id=token,src=" + secret}
	r.build(t, name, "skiff.test/stages:1", dir, flags...)
	for file, want := range map[string]string{"/greeting": "hello", "/files": "included", "/token": "s3cret", "/addresses": "scope global eth"} {
		contains(t, file, k.holds(t, "stages", "skiff.test/stages:1", "cat", file), want)
	}
	if files := k.holds(t, "stages", "skiff.test/stages:1", "cat", "/files"); strings.Contains(files, "excluded") {
		t.Errorf("the build got what .dockerignore excludes: %s", files)
	}
	again := r.build(t, name, "skiff.test/stages:2", dir, flags...)
	equal(t, "cached steps", strings.Count(again.stderr, " CACHED\n") >= 4, true)

	// The cache survives a restart of the node.
	r.skiff(t, "restart", "--cluster", name, "worker-1")
	again = r.build(t, name, "skiff.test/stages:3", dir, flags...)
	equal(t, "cached steps after a restart", strings.Count(again.stderr, " CACHED\n") >= 4, true)
}

// prune runs `skiff prune` and returns the size of the build layers that it freed.
func (r *rig) prune(t *testing.T, flags ...string) int64 {
	t.Helper()
	var freed struct{ BuildBytes int64 }
	r.skiffJSON(t, &freed, append([]string{"prune"}, flags...)...)
	t.Logf("prune %q: %d bytes", flags, freed.BuildBytes)
	return freed.BuildBytes
}

// testBuildInterrupted ends a build in a step that takes long, which must end too.
func testBuildInterrupted(t *testing.T, r *rig, name string) {
	dir := filesIn(t, map[string]string{"Dockerfile": "FROM skiff.test/busybox:1\nRUN echo begun; sleep 4321\n"})
	var stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), filepath.Join(r.root, "bin/skiff"), "image", "build", "--cluster", name, "-t", "skiff.test/long:1", dir)
	command.Env, command.Stderr = r.env, &stderr
	command.Cancel, command.WaitDelay = func() error { return command.Process.Signal(os.Interrupt) }, time.Minute
	steps := func() string {
		return r.trySkiff(t, "shell", "--cluster", name, "worker-1", "--", "sh", "-c", "ps | grep '[s]leep 4321'").stdout
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { _ = command.Process.Signal(os.Interrupt) })
	eventually(t, waitLimit, "the step runs", func() error {
		if steps() == "" {
			return fmt.Errorf("no step")
		}
		return nil
	})
	cancel()
	err := command.Wait()
	if code := command.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, %v:\n%s", code, err, stderr.String())
	}
	eventually(t, time.Minute, "the step has ended", func() error {
		if left := steps(); left != "" {
			return fmt.Errorf("still running: %s", left)
		}
		return nil
	})
}

// build builds an image onto all nodes.
func (r *rig) build(t *testing.T, cluster, image, dir string, flags ...string) commandResult {
	t.Helper()
	a := r.trySkiff(t, append([]string{"image", "build", "--cluster", cluster, "-t", image, dir}, flags...)...)
	t.Logf("image build: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		t.FailNow()
	}
	return a
}

// holds runs a pod of the image on every node, if there is none with the name yet, and
// returns the output of a command in the first one.
func (k *kube) holds(t *testing.T, pod, image string, command ...string) string {
	t.Helper()
	for _, n := range k.workers {
		name := pod + "-" + n.name
		if strings.Contains(k.kubectl(t, "get", "pods", "--output", "name"), "pod/"+name) {
			continue
		}
		overrides := fmt.Sprintf(`{"spec": {"nodeName": %q, "terminationGracePeriodSeconds": 0}}`, n.name)
		k.kubectl(t, "run", name, "--image", image, "--image-pull-policy", "Never", "--restart", "Never", "--overrides", overrides,
			"--command", "--", "/bin/busybox", "sleep", "3600")
		k.wait(t, "condition=Ready", "pod/"+name)
	}
	if len(command) == 0 {
		return ""
	}
	return k.kubectl(t, append([]string{"exec", pod + "-" + k.workers[0].name, "--"}, command...)...)
}
