package spool

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const podLog = "pods/ns_web_uid/app/0.log"

// node is a node with log files, and the host that takes them.
type node struct {
	t     *testing.T
	dir   string
	spool *Spool
	now   time.Time
	limit int64
	files map[string]nodeapi.LogRead
	got   map[string]string // text by log
	last  nodeapi.LogChunk
}

func newNode(t *testing.T) *node {
	n := &node{t: t, dir: t.TempDir(), now: time.Now(), files: map[string]nodeapi.LogRead{}, got: map[string]string{}}
	for _, dir := range []string{"pods/ns_web_uid/app", "skiff"} {
		if err := os.MkdirAll(filepath.Join(n.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n.restart()
	return n
}

// restart replaces the spool, as a restart of the process does.
func (n *node) restart() {
	n.spool = New(Config{Dir: n.dir, Pods: "pods", Programs: "skiff", Kept: "kept", Limit: n.limit, Log: slog.New(slog.DiscardHandler)})
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *node) write(name, text string) {
	n.t.Helper()
	f, err := os.OpenFile(n.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// scan lets some time pass and scans.
func (n *node) scan(later time.Duration) {
	n.t.Helper()
	n.now = n.now.Add(later)
	n.must(n.spool.Scan(n.now))
}

// take takes all logs, and acknowledges them as stored unless hold is set.
func (n *node) take(hold bool) {
	n.t.Helper()
	for {
		var answer bytes.Buffer
		n.must(n.spool.Take(n.t.Context(), nodeapi.TakeRequest{Files: n.files}, nodeapi.NewLogWriter(&answer)))
		for r := nodeapi.NewLogReader(&answer); ; {
			chunk, data, err := r.Next()
			n.must(err)
			if chunk.End {
				for _, id := range chunk.Gone {
					delete(n.files, id)
				}
				n.last = chunk
				break
			}
			read := n.files[chunk.File]
			if chunk.Offset != read.Read {
				n.t.Errorf("%s: sent from %d, wanted from %d", chunk.File, chunk.Offset, read.Read)
			}
			n.got[chunk.Source+" "+chunk.Path] += string(data)
			read.Read, read.Final = chunk.Offset+int64(len(data)), chunk.Final
			if !hold {
				read.Stored = read.Read
			}
			n.files[chunk.File] = read
		}
		if !n.last.More {
			return
		}
	}
}

func (n *node) expect(log, want string) {
	n.t.Helper()
	if n.got[log] != want {
		n.t.Errorf("%s has %.200q, want %.200q", log, n.got[log], want)
	}
}

// expectRemoved checks that no file is kept, because the host has stored all of them.
func (n *node) expectRemoved() {
	n.t.Helper()
	if count := n.kept(); count != 0 {
		n.t.Errorf("%d files are kept although they are stored", count)
	}
}

// kept returns the number of links to log files.
func (n *node) kept() int {
	count := 0
	_ = filepath.WalkDir(n.path("kept"), func(_ string, entry os.DirEntry, _ error) error {
		if entry != nil && strings.Contains(entry.Name(), "~") {
			count++
		}
		return nil
	})
	return count
}

const webLog = "container ns_web_uid/app/0.log"

func TestALogIsTakenAsItGrows(t *testing.T) {
	n := newNode(t)
	n.write(podLog, "one\ntw")
	n.scan(0)
	n.take(false)
	n.expect(webLog, "one\ntw")
	n.write(podLog, "o\n")
	n.scan(0)
	n.take(false)
	n.expect(webLog, "one\ntwo\n")
}

func TestADeletedLogIsReadToItsEndAndThenRemoved(t *testing.T) {
	n := newNode(t)
	n.write(podLog, "one\n")
	n.scan(0)
	n.take(false)
	n.write(podLog, "two\n")
	n.must(os.RemoveAll(n.path("pods/ns_web_uid")))
	n.scan(0)
	n.scan(settle)
	n.take(true)
	n.expect(webLog, "one\ntwo\n")
	n.scan(settle)
	if n.kept() != 1 {
		t.Error("the file was removed before it was stored")
	}
	n.take(true)
	n.expect(webLog, "one\ntwo\n") // not sent again
	for id, read := range n.files {
		read.Stored = read.Read
		n.files[id] = read
	}
	n.take(false)
	n.scan(settle)
	n.expectRemoved()
	n.take(false)
	if len(n.files) != 0 {
		t.Errorf("the host still knows %v", n.files)
	}
}

func TestRotatedFilesAreOneLogInOrder(t *testing.T) {
	n := newNode(t)
	n.write(podLog, "1\n")
	n.scan(0)
	want := "1\n"
	for i := 2; i < 9; i++ {
		old := n.path(podLog)
		n.must(os.Rename(old, fmt.Sprintf("%s.2026112%d-100000", old, i)))
		n.write(podLog, fmt.Sprintln(i))
		n.scan(time.Second)
		if i > 3 { // as the kubelet, which compresses it
			n.must(os.Remove(fmt.Sprintf("%s.2026112%d-100000", old, i-1)))
		}
		want += fmt.Sprintln(i)
	}
	n.scan(settle)
	for range 10 {
		n.take(false)
	}
	n.expect(webLog, want)
}

func TestFilesFromBeforeTheFirstScanKeepTheirOrder(t *testing.T) {
	n := newNode(t)
	n.write(podLog+".20261129-100001", "2\n")
	n.write(podLog+".20261129-100000", "1\n")
	n.write(podLog+".20261128-100000.gz", "compressed")
	n.write(podLog, "3\n")
	n.write("pods/ns_web_uid/app/1.log", "next attempt\n")
	n.scan(0)
	n.scan(settle)
	for range 3 {
		n.take(false)
	}
	n.expect(webLog, "1\n2\n3\n")
	n.expect("container ns_web_uid/app/1.log", "next attempt\n")
}

func TestARestartedProcessContinues(t *testing.T) {
	n := newNode(t)
	n.write(podLog, "one\n")
	n.scan(0)
	n.take(false)
	n.must(os.RemoveAll(n.path("pods/ns_web_uid")))
	n.restart()
	n.scan(0)
	n.scan(settle)
	n.take(false)
	n.expect(webLog, "one\n")
	n.scan(settle)
	n.expectRemoved()
}

func TestTheOldestDeletedFilesAreDroppedAndCounted(t *testing.T) {
	n := newNode(t)
	n.limit = 25
	n.restart()
	for i := range 4 {
		n.write(fmt.Sprintf("pods/ns_web_uid/app/%d.log", i), "12345678\n\n")
		n.scan(0)
	}
	if n.take(true); n.last.Dropped != (nodeapi.LogsDropped{}) {
		t.Errorf("of files that exist %+v was dropped", n.last.Dropped)
	}
	n.must(os.RemoveAll(n.path("pods/ns_web_uid")))
	n.scan(0)
	want := nodeapi.LogsDropped{Files: 2, Lines: 4, Bytes: 20}
	if n.take(true); n.last.Dropped != want {
		t.Errorf("dropped %+v, want %+v", n.last.Dropped, want)
	}
	n.restart()
	n.scan(0)
	if n.take(true); n.last.Dropped != want {
		t.Errorf("after a restart: %+v", n.last.Dropped)
	}
}

func TestNothingIsKeptForAHostThatDoesNotAsk(t *testing.T) {
	n := newNode(t)
	n.write(podLog, "line\n")
	n.scan(0)
	n.must(os.Remove(n.path(podLog)))
	n.spool.unasked = unaskedScans // nothing happened meanwhile
	n.write("pods/ns_web_uid/app/1.log", "live\n")
	for range rareScan {
		n.scan(0)
	}
	if n.kept() != 0 {
		t.Errorf("%d files are kept", n.kept())
	}
	n.take(false)
	n.scan(0)
	n.take(false)
	n.expect("container ns_web_uid/app/1.log", "live\n")
	if n.last.Dropped != (nodeapi.LogsDropped{}) {
		t.Errorf("%+v was dropped, which nobody wanted", n.last.Dropped)
	}
}

func TestManySmallFilesMakeRoomForNewOnes(t *testing.T) {
	n := newNode(t)
	for i := range maxFiles + 10 {
		n.must(os.WriteFile(n.path(fmt.Sprintf("pods/ns_web_uid/app/%d.log", i)), []byte("x\n"), 0o600))
	}
	if err := n.spool.Scan(n.now); err == nil {
		t.Error("too many files are kept")
	}
	n.must(os.RemoveAll(n.path("pods/ns_web_uid")))
	n.scan(0)
	n.must(os.MkdirAll(n.path("pods/ns_other_uid/app"), 0o755))
	n.write("pods/ns_other_uid/app/0.log", "new\n")
	n.scan(0)
	n.take(false)
	n.expect("container ns_other_uid/app/0.log", "new\n")
	if want := int64(maxFiles / 8); n.last.Dropped.Files != want {
		t.Errorf("%d files were dropped, want %d", n.last.Dropped.Files, want)
	}
}

func TestTheHostForgetsAnyNumberOfFiles(t *testing.T) {
	n := newNode(t)
	n.scan(0)
	for i := range 2*maxGone + 1 {
		n.files[fmt.Sprintf("container/%0200d/app/0.log@1", i)] = nodeapi.LogRead{}
	}
	n.take(false)
	if len(n.files) != 0 {
		t.Errorf("the host still has %d files", len(n.files))
	}
}

func TestLinksThatPodsMakeLeadNowhere(t *testing.T) {
	n := newNode(t)
	secret := filepath.Join(t.TempDir(), "0.log")
	n.must(os.WriteFile(secret, []byte("secret"), 0o600))
	n.must(os.Symlink(secret, n.path(podLog)))
	n.must(os.MkdirAll(n.path("pods/ns_other_uid"), 0o755))
	n.must(os.Symlink(filepath.Dir(secret), n.path("pods/ns_other_uid/app")))
	n.write("pods/ns_web_uid/app/1.log", "own\n")
	n.scan(0)
	n.take(false)
	n.expect("container ns_web_uid/app/1.log", "own\n")
	if len(n.got) != 1 {
		t.Errorf("%v", n.got)
	}
}

// The log is rotated as package program does it.
func TestTheLogOfAProgramContinuesInItsCopy(t *testing.T) {
	n := newNode(t)
	const log, kubelet = "skiff/nodeagent.log", "program nodeagent"
	rotate := func() {
		text, err := os.ReadFile(n.path(log))
		n.must(err)
		n.must(os.WriteFile(n.path(log+".1.tmp"), text, 0o640))
		n.must(os.Rename(n.path(log+".1.tmp"), n.path(log+".1")))
		n.must(os.Truncate(n.path(log), 0))
		n.now = time.Now().Add(settle)
	}
	n.write(log, "one\n")
	n.scan(0)
	n.take(false)
	n.write(log, "two\n")
	rotate()
	n.write(log, "three\n")
	n.scan(0)
	for range 3 {
		n.take(false)
	}
	n.expect(kubelet, "one\ntwo\nthree\n")
	n.restart()
	n.scan(0)
	rotate() // the host is away from here on
	n.write(log, "four\n")
	n.scan(0)
	rotate()
	n.write(log, "five\n")
	n.scan(0)
	for range 4 {
		n.take(false)
	}
	n.expect(kubelet, "one\ntwo\nthree\nfour\nfive\n")
}

// The new log is longer than what the host has read of the old one, so its size alone does
// not tell them apart.
func TestALogOnANewDiskIsReadFromItsBeginning(t *testing.T) {
	n := newNode(t)
	n.write("skiff/nodeagent.log", "one\n")
	n.scan(0)
	n.take(false)
	n.must(os.Remove(n.path("skiff/nodeagent.log")))
	time.Sleep(10 * time.Millisecond) // the clock of file systems has steps
	n.write("skiff/nodeagent.log", "two and more\n")
	n.restart()
	n.scan(0)
	n.take(false)
	n.expect("program nodeagent", "one\ntwo and more\n")
}

func TestAuditRecordsAndTheKernelAreLogsOfTheirOwn(t *testing.T) {
	n := newNode(t)
	n.write("skiff/audit.log", "a1\n")
	n.write("skiff/kernel.log", "k1\n")
	n.scan(0)
	n.must(os.Rename(n.path("skiff/audit.log"), n.path("skiff/audit-2026-11-29T10-00-00.000.log")))
	n.must(os.Rename(n.path("skiff/kernel.log"), n.path("skiff/kernel.log.1")))
	n.write("skiff/audit.log", "a2\n")
	n.write("skiff/kernel.log", "k2\n")
	n.scan(0)
	n.scan(settle)
	for range 2 {
		n.take(false)
	}
	n.expect("audit audit", "a1\na2\n")
	n.expect("kernel kernel", "k1\nk2\n")
	for log := range n.got {
		if strings.HasPrefix(log, "program") {
			t.Errorf("%s is not a program", log)
		}
	}
}

func TestARequestWaitsForTheNextLine(t *testing.T) {
	n := newNode(t)
	n.write(podLog, "one\n")
	n.scan(0)
	n.take(false)
	answered := make(chan string)
	go func() {
		var answer bytes.Buffer
		_ = n.spool.Take(t.Context(), nodeapi.TakeRequest{Files: n.files, WaitMilliseconds: 10_000}, nodeapi.NewLogWriter(&answer))
		answered <- answer.String()
	}()
	n.write(podLog, "two\n")
	for {
		n.scan(0)
		select {
		case answer := <-answered:
			if !strings.Contains(answer, "two\n") {
				t.Errorf("%q", answer)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestParseRecordReadsMessagesOfTheKernel(t *testing.T) {
	for _, c := range []struct {
		record string
		want   message
		ok     bool
	}{
		{"6,339,5140900,-;NET: Registered\n SUBSYSTEM=x\n", message{6, 339, 5140900 * time.Microsecond, "NET: Registered"}, true},
		{"30,340,5690716,c;udevd[80]: starting", message{6, 340, 5690716 * time.Microsecond, "udevd[80]: starting"}, true},
		{"", message{}, false}, {"6,1;x", message{}, false}, {"a,1,1,-;x", message{}, false}, {"6,-1,1,-;x", message{}, false}, {"6,1,99999999999999999999,-;x", message{}, false},
	} {
		if got, ok := parseRecord([]byte(c.record)); got != c.want || ok != c.ok {
			t.Errorf("%q: %+v, %v", c.record, got, ok)
		}
	}
}

// FuzzParseRecord checks that no record makes the parser panic.
func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("6,339,5140900,-;NET: Registered\n SUBSYSTEM=x\n"))
	f.Fuzz(func(t *testing.T, record []byte) {
		if m, ok := parseRecord(record); ok && (m.priority < 0 || m.priority > 7 || strings.Contains(m.text, "\n")) {
			t.Errorf("%+v", m)
		}
	})
}
