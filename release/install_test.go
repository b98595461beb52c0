package main

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// install runs an install.sh as an ordinary user would, with a home of its own.
type install struct {
	home   string
	script string
	env    []string
}

func newInstall(t *testing.T, release string) install {
	t.Helper()
	return install{home: t.TempDir(), script: filepath.Join(release, installName)}
}

// run returns the exit code and the output.
func (i install) run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", append([]string{i.script}, args...)...)
	command.Env = append([]string{"HOME=" + i.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}, i.env...)
	command.Dir = i.home
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(out)
}

// ok fails the test unless the installer succeeds.
func (i install) ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out := i.run(t, args...)
	if code != 0 {
		t.Fatalf("install.sh %q: exit code %d\n%s", args, code, out)
	}
	return out
}

// installed returns what bin/skiff of a prefix prints, or "".
func installed(t *testing.T, prefix string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(prefix, "bin/skiff"), "version").Output()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// files lists everything below a directory, with the targets of links.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || file == dir || e.IsDir() {
			return err
		}
		name := strings.TrimPrefix(file, dir+"/")
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			name += " -> " + target
			if _, err := os.Stat(file); err != nil {
				return fmt.Errorf("dangling link %s", name)
			}
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestInstallerInstallsToTheHomeDirectory(t *testing.T) {
	release := published(t, "0.2.0", signer{snapshot: true})
	i := newInstall(t, release)
	out := i.ok(t, "--from", release)
	prefix := filepath.Join(i.home, ".local")
	if got := installed(t, prefix); got != "skiff 0.2.0" {
		t.Errorf("installed %q", got)
	}
	if !strings.Contains(out, `export PATH="`+prefix+`/bin:$PATH"`) {
		t.Errorf("the output does not mention the path:\n%s", out)
	}
	got := files(t, prefix)
	for _, want := range []string{
		"bin/skiff -> ../lib/skiff/0.2.0/bin/skiff",
		"lib/skiff/0.2.0/lib/skiff/image/root.erofs",
		"share/man/man1/skiff-up.1 -> ../../../lib/skiff/0.2.0/share/man/man1/skiff-up.1",
		"share/bash-completion/completions/skiff -> ../../../lib/skiff/0.2.0/share/bash-completion/completions/skiff",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func TestInstallerInstallsImagesOfOtherVersionsOnDemand(t *testing.T) {
	release := published(t, "0.2.0", signer{snapshot: true})
	i := newInstall(t, release)
	prefix := filepath.Join(i.home, ".local")
	const other = "lib/skiff/0.2.0/lib/skiff/image/1.35/root.erofs"
	i.ok(t, "--from", release)
	if slices.Contains(files(t, prefix), other) {
		t.Error("it is installed without being asked for")
	}
	i.ok(t, "--from", release, "--kubernetes", "1.35")
	if got := files(t, prefix); !slices.Contains(got, other) || !slices.Contains(got, "lib/skiff/0.2.0/lib/skiff/image/root.erofs") {
		t.Errorf("installed %q", got)
	}
	before := files(t, prefix)
	for versions, want := range map[string]string{
		"1.37":      "has no " + named("0.2.0").base() + "_kubernetes-1.37.tar.gz",
		"1.35,1.37": "has no " + named("0.2.0").base() + "_kubernetes-1.37.tar.gz",
		"../1.35":   "invalid versions of Kubernetes",
		"1.35,":     "invalid versions of Kubernetes",
		"v1.35":     "invalid versions of Kubernetes",
	} {
		if code, out := i.run(t, "--from", release, "--kubernetes", versions); code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d\n%s", versions, code, out)
		}
	}
	archive := filepath.Join(release, named("0.2.0").base()+"_kubernetes-1.35.tar.gz")
	if err := os.Truncate(archive, 100); err != nil {
		t.Fatal(err)
	}
	if code, out := i.run(t, "--from", release, "--kubernetes", "1.35"); code != 1 || !strings.Contains(out, "signed checksum") {
		t.Errorf("a damaged archive: exit code %d\n%s", code, out)
	}
	if after := files(t, prefix); !slices.Equal(after, before) {
		t.Errorf("left %q, before %q", after, before)
	}
}

func TestInstallerInstallsImagesOfAnotherArchitectureOnDemand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux emulates nodes")
	}
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	release := publishedFor(t, "0.2.0", signer{snapshot: true}, runtime.GOARCH, foreign)
	i := newInstall(t, release)
	prefix := filepath.Join(i.home, ".local")
	place := "lib/skiff/0.2.0/lib/skiff/image/" + foreign
	i.ok(t, "--from", release, "--arch", runtime.GOARCH)
	if slices.Contains(files(t, prefix), place+"/root.erofs") {
		t.Error("it is installed without being asked for")
	}
	i.ok(t, "--from", release, "--arch", foreign, "--kubernetes", "1.35")
	got := files(t, prefix)
	for _, want := range []string{place + "/root.erofs", place + "/1.35/root.erofs", "lib/skiff/0.2.0/lib/skiff/image/1.35/root.erofs", "lib/skiff/0.2.0/bin/skiff"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if installed(t, prefix) != "skiff 0.2.0" || slices.ContainsFunc(got, func(name string) bool { return strings.Contains(name, "_"+foreign) }) {
		t.Errorf("installed %q", got)
	}
	if code, out := i.run(t, "--from", release, "--arch", "riscv64"); code != 2 || !strings.Contains(out, `invalid architecture "riscv64"`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if err := os.Remove(filepath.Join(release, name{"0.2.0", "linux", foreign}.base()+".tar.gz")); err != nil {
		t.Fatal(err)
	}
	if code, _ := i.run(t, "--from", release, "--arch", foreign); code != 1 {
		t.Errorf("without its archive: exit code %d", code)
	}
	if after := files(t, prefix); !slices.Equal(after, got) {
		t.Errorf("left %q, before %q", after, got)
	}
}

func TestInstallerDownloads(t *testing.T) {
	release := published(t, "0.2.0", signer{snapshot: true})
	server := httptest.NewServer(http.StripPrefix("/v0.2.0/", http.FileServer(http.Dir(release))))
	defer server.Close()
	prefix := t.TempDir()
	i := newInstall(t, release)
	i.env = []string{"SKIFF_RELEASES=" + server.URL}
	i.ok(t, "--prefix="+prefix)
	if got := installed(t, prefix); got != "skiff 0.2.0" {
		t.Errorf("installed %q", got)
	}
	if code, out := i.run(t, "--prefix", prefix, "--version", "v0.3.0"); code != 1 || !strings.Contains(out, "cannot download "+server.URL+"/v0.3.0/checksums.txt") {
		t.Errorf("a version that does not exist: exit code %d\n%s", code, out)
	}
}

func TestInstallerUpdatesAndKeepsThePreviousVersion(t *testing.T) {
	key := privatePEM(t, elliptic.P256(), false)
	sign := signer{environment: func(string) string { return key }}
	prefix := t.TempDir()
	var last install
	for _, version := range []string{"0.1.0", "0.2.0", "0.3.0", "0.3.0"} {
		release := published(t, version, sign)
		last = newInstall(t, release)
		last.ok(t, "--from", release, "--prefix", prefix)
		if got := installed(t, prefix); got != "skiff "+version {
			t.Errorf("installed %q, want %s", got, version)
		}
		versions, err := filepath.Glob(filepath.Join(prefix, "lib/skiff/*"))
		if err != nil || len(versions) > 2 {
			t.Errorf("versions %q, %v", versions, err)
		}
		files(t, prefix) // no dangling link
	}
	// A script installs an earlier version, too, if the key is the same.
	release := published(t, "0.2.0", sign)
	last.ok(t, "--from", release, "--prefix", prefix, "--version", "v0.2.0")
	if got := installed(t, prefix); got != "skiff 0.2.0" {
		t.Errorf("installed %q", got)
	}
	last.ok(t, "--uninstall", "--prefix", prefix)
	if left := files(t, prefix); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	if code, out := last.run(t, "--uninstall", "--prefix", prefix); code != 1 || !strings.Contains(out, "has no Skiff") {
		t.Errorf("a second time: exit code %d\n%s", code, out)
	}
}

func TestInstallerRefusesWhatIsNotSigned(t *testing.T) {
	archive := named("0.2.0").base() + ".tar.gz"
	change := func(t *testing.T, file string, change func([]byte) []byte) {
		t.Helper()
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, change(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		tamper func(t *testing.T, release string)
		want   string
	}{
		"archive": {func(t *testing.T, release string) {
			change(t, filepath.Join(release, archive), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}, "signed checksum"},
		"truncated archive": {func(t *testing.T, release string) {
			change(t, filepath.Join(release, archive), func(b []byte) []byte { return b[:len(b)/2] })
		}, "signed checksum"},
		"archive and its checksum": {func(t *testing.T, release string) {
			change(t, filepath.Join(release, archive), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
			sums, err := checksums(release, []string{archive})
			if err != nil {
				t.Fatal(err)
			}
			change(t, filepath.Join(release, checksumsName), func([]byte) []byte { return sums })
		}, "signature"},
		"signature of another key": {func(t *testing.T, release string) {
			script, err := os.ReadFile(filepath.Join(release, installName))
			if err != nil {
				t.Fatal(err)
			}
			again := signer{version: "0.2.0", out: release, snapshot: true, log: noLog}
			if err := again.run(); err != nil {
				t.Fatal(err)
			}
			change(t, filepath.Join(release, installName), func([]byte) []byte { return script })
		}, "signature"},
		"empty signature": {func(t *testing.T, release string) {
			change(t, filepath.Join(release, signatureName), func([]byte) []byte { return nil })
		}, "signature"},
		"no signature": {func(t *testing.T, release string) {
			if err := os.Remove(filepath.Join(release, signatureName)); err != nil {
				t.Fatal(err)
			}
		}, "cannot read"},
		"no archive": {func(t *testing.T, release string) {
			if err := os.Remove(filepath.Join(release, archive)); err != nil {
				t.Fatal(err)
			}
		}, "cannot read"},
	} {
		t.Run(what, func(t *testing.T) {
			release := published(t, "0.2.0", signer{snapshot: true})
			c.tamper(t, release)
			i := newInstall(t, release)
			code, out := i.run(t, "--from", release)
			if code != 1 || !strings.HasPrefix(out, "install.sh: ") || !strings.Contains(out, c.want) || strings.Count(out, "\n") != 1 {
				t.Errorf("exit code %d, want %q\n%s", code, c.want, out)
			}
			if left, err := os.ReadDir(i.home); err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

func TestAnotherVersionsChecksumsAreRefused(t *testing.T) {
	release := published(t, "0.2.0", signer{snapshot: true})
	i := newInstall(t, release)
	code, out := i.run(t, "--from", release, "--version", "0.3.0")
	if code != 1 || !strings.Contains(out, "has no "+named("0.3.0").base()+".tar.gz") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestInstallerLeavesFilesOfOthersAlone(t *testing.T) {
	release := published(t, "0.2.0", signer{snapshot: true})
	for file, want := range map[string]string{
		"bin/skiff":                       "bin/skiff was not installed by this script",
		"share/zsh/site-functions/_skiff": "_skiff was not installed by this script",
		"lib/skiff/image/image.json":      "not installed by this script",
		"share/man":                       "cannot write to",
	} {
		prefix := t.TempDir()
		write(t, filepath.Join(prefix, file), "mine")
		code, out := newInstall(t, release).run(t, "--from", release, "--prefix", prefix)
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d\n%s", file, code, out)
		}
		if left := files(t, prefix); !slices.Equal(left, []string{file}) {
			t.Errorf("%s: left %q", file, left)
		}
	}
}

// publishedProgram is like published for version 0.2.0 and a program of the test's.
func publishedProgram(t *testing.T, program string, sign signer) string {
	t.Helper()
	s := built(t, "0.2.0")
	write(t, s.program, program)
	entries, err := layout(s)
	if err != nil {
		t.Fatal(err)
	}
	sign.version, sign.out, sign.log = "0.2.0", t.TempDir(), noLog
	p := packer{name: named("0.2.0")}
	if err := p.archive(t.Context(), filepath.Join(sign.out, p.name.base()+".tar.gz"), entries); err != nil {
		t.Fatal(err)
	}
	if err := sign.run(); err != nil {
		t.Fatal(err)
	}
	return sign.out
}

// TestAnInterruptedInstallationIsCleanedUp has the new program, which the installer
// runs before it switches to it, kill the installer.
func TestAnInterruptedInstallationIsCleanedUp(t *testing.T) {
	key := privatePEM(t, elliptic.P256(), false)
	sign := signer{environment: func(string) string { return key }}
	prefix := t.TempDir()
	earlier := published(t, "0.1.0", sign)
	newInstall(t, earlier).ok(t, "--from", earlier, "--prefix", prefix)
	before := files(t, prefix)

	terminates := publishedProgram(t, "#!/bin/sh\nkill -TERM $PPID\n", sign)
	if code, out := newInstall(t, terminates).run(t, "--from", terminates, "--prefix", prefix); code != 143 {
		t.Errorf("exit code %d, want 143\n%s", code, out)
	}
	if after := files(t, prefix); !slices.Equal(after, before) {
		t.Errorf("before %q\nafter SIGTERM %q", before, after)
	}

	// SIGKILL leaves files, but not the version; the next installation removes them.
	kills := publishedProgram(t, "#!/bin/sh\nkill -KILL $PPID\n", sign)
	newInstall(t, kills).run(t, "--from", kills, "--prefix", prefix)
	if got := installed(t, prefix); got != "skiff 0.1.0" {
		t.Errorf("after SIGKILL %q is installed", got)
	}
	if slices.Equal(files(t, prefix), before) {
		t.Error("SIGKILL left nothing: this test does not test anything")
	}
	newInstall(t, earlier).ok(t, "--from", earlier, "--prefix", prefix)
	if after := files(t, prefix); !slices.Equal(after, before) {
		t.Errorf("before %q\nafter SIGKILL and another installation %q", before, after)
	}
}

func TestAProgramThatDoesNotRunIsNotInstalled(t *testing.T) {
	key := privatePEM(t, elliptic.P256(), false)
	sign := signer{environment: func(string) string { return key }}
	prefix := t.TempDir()
	working := published(t, "0.2.0", sign)
	newInstall(t, working).ok(t, "--from", working, "--prefix", prefix)
	before := files(t, prefix)

	broken := publishedProgram(t, "#!/bin/sh\necho broken >&2\nexit 1\n", sign)
	code, out := newInstall(t, broken).run(t, "--from", broken, "--prefix", prefix)
	if code != 1 || !strings.Contains(out, "broken\n") || !strings.Contains(out, "does not run on this machine") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if after := files(t, prefix); !slices.Equal(after, before) {
		t.Errorf("before %q\nafter %q", before, after)
	}
	if got := installed(t, prefix); got != "skiff 0.2.0" {
		t.Errorf("installed %q", got)
	}
}

func TestInstallerRejectsBadArguments(t *testing.T) {
	release := published(t, "0.2.0", signer{snapshot: true})
	i := newInstall(t, release)
	for _, args := range [][]string{{"--nonsense"}, {"--version"}, {"--version", "../1"}, {"--prefix", ""}, {"extra"}} {
		code, out := i.run(t, args...)
		if code != 2 || !strings.HasPrefix(out, "install.sh: ") || !strings.Contains(out, "usage:") {
			t.Errorf("%q: exit code %d\n%s", args, code, out)
		}
	}
	i.home = ""
	i.script = filepath.Join(release, installName)
	command := exec.CommandContext(t.Context(), "sh", i.script, "--from", release)
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "HOME is not set") {
		t.Errorf("without HOME: %v\n%s", err, out)
	}
}

func TestInstallerNamesAMissingTool(t *testing.T) {
	release := published(t, "0.2.0", signer{snapshot: true})
	bin := t.TempDir()
	for _, tool := range []string{"sh", "uname", "mktemp", "rm", "cp", "mkdir"} {
		program, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(program, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "sh", filepath.Join(release, installName), "--from", release)
	command.Env = []string{"PATH=" + bin, "HOME=" + t.TempDir()}
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "openssl is not installed") {
		t.Errorf("%v\n%s", err, out)
	}
}
