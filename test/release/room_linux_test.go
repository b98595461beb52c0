package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A test that finds enterRoom in its environment is a process that enters a room. It
// becomes the program that its arguments name, as the user in enterUser.
const (
	enterRoom = "SKIFF_TEST_ROOM"
	enterUser = "SKIFF_TEST_ROOM_USER"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(enterRoom); dir != "" {
		fmt.Fprintln(os.Stderr, "enter the room:", enter(dir))
		os.Exit(125)
	}
	os.Exit(m.Run())
}

// room is a directory that programs see as their root. It holds copies of a few
// programs and of the libraries that they need, so what runs there cannot depend on
// anything else.
type room struct{ dir string }

// basics are the programs that install.sh calls, but for those that download.
var basics = []string{"sh", "uname", "mktemp", "mkdir", "rm", "rmdir", "mv", "ln", "cp", "cat", "readlink", "tar", "gzip", "openssl"}

// users are the accounts of a room.
const users = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"

func newRoom(t *testing.T, programs ...string) room {
	t.Helper()
	// Not t.TempDir, whose path may be too long for the sockets of a cluster.
	dir, err := os.MkdirTemp("", "skiff-room-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	r := room{dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin", "dev", "etc", "home/user", "proc", "root", "run", "sys", "tmp", "usr/local", "var/tmp"} {
		if err := os.MkdirAll(r.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Chmod(r.path("tmp"), 0o1777), os.Chown(r.path("home/user"), 1000, 1000),
		os.WriteFile(r.path("etc/passwd"), []byte(users), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		r.add(t, program)
	}
	return r
}

func (r room) path(name string) string { return filepath.Join(r.dir, name) }

// libraryPath matches the paths in ldd's output.
var libraryPath = regexp.MustCompile(`(?m)(?:=>\s+|^\s+)(/\S+)`)

// add copies a program of the host to /bin, and its libraries to their places.
func (r room) add(t *testing.T, program string) {
	t.Helper()
	source, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	r.copy(t, source, "bin/"+program)
	out, err := exec.CommandContext(t.Context(), "ldd", source).Output()
	if err != nil {
		return // a static program
	}
	for _, m := range libraryPath.FindAllStringSubmatch(string(out), -1) {
		r.copy(t, m[1], m[1])
	}
}

// copy copies a file of the host.
func (r room) copy(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(r.path(to)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path(to), content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// outcome is how a program in a room ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// user is who runs a program in a room.
type user struct {
	id   int
	home string
}

var (
	root     = user{0, "/root"}
	ordinary = user{1000, "/home/user"}
)

// run runs a program in the room and waits for it.
func (r room) run(t *testing.T, as user, name string, args ...string) outcome {
	t.Helper()
	// Not the test's context, because clean-up runs commands after its end.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "/proc/self/exe", append([]string{name}, args...)...)
	command.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + as.home, enterRoom + "=" + r.dir, enterUser + "=" + strconv.Itoa(as.id),
	}
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	command.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, errors.Join(err, ctx.Err()), stdout.String(), stderr.String())
	}
	return outcome{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// ok is like run and fails the test unless the program succeeds.
func (r room) ok(t *testing.T, as user, name string, args ...string) string {
	t.Helper()
	o := r.run(t, as, name, args...)
	if o.code != 0 {
		t.Fatalf("%s %q: exit code %d\n%s%s", name, args, o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// enter makes dir the root of this process, which has a mount namespace of its own,
// and executes the program that the arguments name. It only returns if it fails.
func enter(dir string) error {
	// Otherwise the mount points below would appear on the host, too.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := errors.Join(
		unix.Mount(dir, dir, "", unix.MS_BIND, ""),
		unix.Mount("proc", filepath.Join(dir, "proc"), "proc", 0, ""),
		unix.Mount("/sys", filepath.Join(dir, "sys"), "", unix.MS_BIND|unix.MS_REC, ""),
		unix.Mount("/dev", filepath.Join(dir, "dev"), "", unix.MS_BIND|unix.MS_REC, ""),
		unix.Chdir(dir),
	); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := errors.Join(unix.Unmount(".", unix.MNT_DETACH), unix.Chdir("/")); err != nil {
		return err
	}
	id, err := strconv.Atoi(os.Getenv(enterUser))
	if err != nil {
		return err
	}
	if id != 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id)); err != nil {
			return err
		}
	}
	program, err := exec.LookPath(os.Args[1])
	if err != nil {
		return err
	}
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, enterRoom) {
			env = append(env, variable)
		}
	}
	return syscall.Exec(program, os.Args[1:], env)
}
