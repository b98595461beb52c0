package trust

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/edge/authority"
)

var certificate = Certificate{File: "/home/jane/.skiff/authority/ca.crt", Fingerprint: "0123456789abcdef", SHA1: "AB12"}

// transcript lists what a plan would run.
func transcript(stores []Store) string {
	var b strings.Builder
	for _, s := range stores {
		b.WriteString(s.Name)
		if s.Root {
			b.WriteString(" (root)")
		}
		if s.Missing != "" {
			b.WriteString(" without " + s.Missing)
		}
		b.WriteString("\n")
		for verb, lines := range map[string][][]string{"+": s.Install, "-": s.Remove} {
			for _, line := range lines {
				b.WriteString(verb + " " + strings.Join(line, " ") + "\n")
			}
		}
	}
	return strings.TrimSpace(b.String())
}

func TestPlan(t *testing.T) {
	for name, tt := range map[string]struct {
		host Host
		want []string // in any order
	}{
		"Debian": {
			Host{System: "linux", Dirs: []string{"/usr/local/share/ca-certificates"}, Programs: []string{"update-ca-certificates"}},
			[]string{
				"system (Debian, Ubuntu, Alpine) (root)",
				"+ install -m 0644 /home/jane/.skiff/authority/ca.crt /usr/local/share/ca-certificates/skiff-local-ca-0123456789abcdef.crt", "+ update-ca-certificates",
				"- rm -f /usr/local/share/ca-certificates/skiff-local-ca-0123456789abcdef.crt", "- update-ca-certificates --fresh",
			},
		},
		"Fedora with Firefox and without certutil": {
			Host{System: "linux", Dirs: []string{"/etc/pki/ca-trust/source/anchors"}, Programs: []string{"update-ca-trust"}, Databases: []string{"/home/jane/.pki/nssdb"}},
			[]string{
				"system (Fedora, RHEL) (root)",
				"+ install -m 0644 /home/jane/.skiff/authority/ca.crt /etc/pki/ca-trust/source/anchors/skiff-local-ca-0123456789abcdef.pem", "+ update-ca-trust extract",
				"- rm -f /etc/pki/ca-trust/source/anchors/skiff-local-ca-0123456789abcdef.pem", "- update-ca-trust extract",
				"NSS database /home/jane/.pki/nssdb without certutil",
				"+ certutil -A -d sql:/home/jane/.pki/nssdb -t C,, -n skiff-local-ca-0123456789abcdef -i /home/jane/.skiff/authority/ca.crt",
				"- certutil -D -d sql:/home/jane/.pki/nssdb -n skiff-local-ca-0123456789abcdef",
			},
		},
		"Debian with a Chromium that never ran": {
			Host{System: "linux", Programs: []string{"certutil"}, NewDatabase: "/home/jane/.pki/nssdb"},
			[]string{
				"NSS database /home/jane/.pki/nssdb",
				"+ mkdir -p -m 0700 /home/jane/.pki/nssdb", "+ certutil -N -d sql:/home/jane/.pki/nssdb --empty-password",
				"+ certutil -A -d sql:/home/jane/.pki/nssdb -t C,, -n skiff-local-ca-0123456789abcdef -i /home/jane/.skiff/authority/ca.crt",
				"- certutil -D -d sql:/home/jane/.pki/nssdb -n skiff-local-ca-0123456789abcdef",
			},
		},
		"a directory without its program": {Host{System: "linux", Dirs: []string{"/etc/pki/trust/anchors"}}, []string{""}},
		"macOS": {
			Host{System: "darwin", Programs: []string{"security"}},
			[]string{
				"user (macOS)",
				"+ security add-trusted-cert -r trustRoot /home/jane/.skiff/authority/ca.crt",
				"- security remove-trusted-cert /home/jane/.skiff/authority/ca.crt",
				"- security delete-certificate -Z AB12",
			},
		},
	} {
		got := strings.Split(transcript(Plan(tt.host, certificate)), "\n")
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s", name, strings.Join(got, "\n"))
		}
	}
}

func TestDatabasesOfBrowsersAreFound(t *testing.T) {
	home := t.TempDir()
	for _, dir := range []string{".local/share/pki/nssdb", ".pki/nssdb", ".mozilla/firefox/abc.default", "Library/Application Support/Firefox/Profiles/x", ".mozilla/firefox/no-database"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if dir != ".mozilla/firefox/no-database" {
			if err := os.WriteFile(filepath.Join(home, dir, "cert9.db"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", fakeProgram(t, "chromium"))
	host := Look(home)
	got := host.Databases
	want := []string{".mozilla/firefox/abc.default", "Library/Application Support/Firefox/Profiles/x", ".local/share/pki/nssdb", ".pki/nssdb"}
	for i := range want {
		want[i] = filepath.Join(home, want[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
	if host.NewDatabase != "" {
		t.Errorf("a second database in %s", host.NewDatabase)
	}
}

func TestChromiumGetsADatabaseBeforeItsFirstStart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Chromium has a database of its own on Linux only")
	}
	home := t.TempDir()
	t.Setenv("PATH", fakeProgram(t, "chromium"))
	if got := Look(home).NewDatabase; got != filepath.Join(home, ".pki/nssdb") {
		t.Errorf("with Chromium: %q", got)
	}
	t.Setenv("PATH", t.TempDir())
	if got := Look(home).NewDatabase; got != "" {
		t.Errorf("without Chromium: %q", got)
	}
}

// fakeProgram writes a program that does nothing, and returns its directory.
func fakeProgram(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestStoreIsChangedByItsCommands runs a store of files, as the system's is.
func TestStoreIsChangedByItsCommands(t *testing.T) {
	dir := t.TempDir()
	a, err := authority.Open(filepath.Join(dir, "authority"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "anchor.crt")
	store := Store{Name: "test", File: file, Install: [][]string{{"install", "-m", "0644", a.File(), file}}, Remove: [][]string{{"rm", "-f", file}}}
	check := func(want bool) {
		t.Helper()
		if got, err := Installed(t.Context(), store, a.Certificate()); got != want || err != nil {
			t.Errorf("installed: %v, %v", got, err)
		}
	}
	check(false)
	run := Runner{Root: true}
	if err := run.Run(t.Context(), store, store.Install); err != nil {
		t.Fatal(err)
	}
	check(true)
	if err := run.Run(t.Context(), store, store.Remove); err != nil {
		t.Fatal(err)
	}
	check(false)
	if err := os.WriteFile(file, []byte("another certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(false)
}

func TestFailedCommandShowsItsOutput(t *testing.T) {
	err := Runner{Root: true}.Run(context.Background(), Store{Name: "system"}, [][]string{{"sh", "-c", "echo no space left >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "change the system") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
}

func TestOnlyWhatNeedsRootUsesSudo(t *testing.T) {
	bin := t.TempDir()
	record := filepath.Join(bin, "record")
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\necho \"$@\" >>"+record+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var run Runner
	for _, s := range []Store{{Name: "system", Root: true}, {Name: "NSS"}} {
		run.Err = os.Stderr
		if err := run.Run(t.Context(), s, [][]string{{"true", s.Name}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(record); string(got) != "-- true system\n" {
		t.Errorf("sudo ran %q", got)
	}
	t.Setenv("PATH", "/nonexistent")
	if err := run.Run(t.Context(), Store{Name: "system", Root: true}, [][]string{{"true"}}); err == nil {
		t.Error("no error without sudo")
	}
}

// TestNSSDatabase uses a real database of Firefox's kind.
func TestNSSDatabase(t *testing.T) {
	if _, err := exec.LookPath(certutil); err != nil {
		t.Skip("certutil is not installed")
	}
	dir := t.TempDir()
	a, err := authority.Open(filepath.Join(dir, "authority"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(dir, "database")
	if err := os.Mkdir(database, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(certutil, "-N", "-d", "sql:"+database, "--empty-password").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stores := Plan(Host{System: "linux", Programs: []string{certutil}, Databases: []string{database}}, Of(a))
	for _, step := range []struct {
		commands [][]string
		want     bool
	}{{nil, false}, {stores[0].Install, true}, {stores[0].Install, true}, {stores[0].Remove, false}} {
		if err := (Runner{}).Run(t.Context(), stores[0], step.commands); err != nil {
			t.Fatal(err)
		}
		if got, err := Installed(t.Context(), stores[0], a.Certificate()); got != step.want || err != nil {
			t.Errorf("after %q: installed %v, %v", step.commands, got, err)
		}
	}
	out, err := exec.Command(certutil, "-L", "-d", "sql:"+database).CombinedOutput()
	if err != nil || strings.Contains(string(out), "skiff") {
		t.Errorf("left in the database: %v\n%s", err, out)
	}
}
