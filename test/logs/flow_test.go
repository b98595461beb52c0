package logs

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/nodeagent/boot/spool"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	recordlogs "github.com/skiff-dev/skiff/vm/records/logs"
	"github.com/skiff-dev/skiff/vm/records/logs/child"
	"github.com/skiff-dev/skiff/vm/records/logs/query"
)

var (
	seconds = flag.Int("seconds", 6, "how long pods write")
	rate    = flag.Int("rate", 20_000, "lines a second of all pods")
)

const (
	pods = 30
	node = "worker-1"
	name = "dev"
	// limit bounds waits, which the race detector makes long on a busy machine.
	limit = 5 * time.Minute
	// rotateBytes is small, so that files are rotated often.
	rotateBytes = 2 << 20
	// rotated is how many old files kubelets keep.
	rotated = 2
	// storeVariable makes the test program the process of the store.
	storeVariable = "SKIFF_TEST_LOGSTORE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(storeVariable); dir != "" {
		if err := keepLogs(home.Home(dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// keepLogs is the process of the store, as the command `logstore` runs it.
func keepLogs(h home.Home) error {
	listener, err := net.FileListener(os.NewFile(child.ListenerFD, ""))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(string(h), "pid"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	return recordlogs.Run(context.Background(), recordlogs.Config{
		Dir: h.Cluster(name).Logs(), Home: h, Cluster: name, LimitBytes: 4 << 30, Age: 24 * time.Hour,
		Listener: listener, Parent: os.Stdin, Ready: os.Stdout, Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
}

// rig is a node and a host.
type rig struct {
	t    *testing.T
	home home.Home
	logs string // /var/log of the node
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, logs: t.TempDir()}
	dir, err := os.MkdirTemp("", "lf") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.home = home.Home(dir)
	files := r.home.Cluster(name)
	if err := errors.Join(files.Create(), os.MkdirAll(filepath.Join(r.logs, "pods"), 0o755), os.MkdirAll(filepath.Join(r.logs, "skiff"), 0o755)); err != nil {
		t.Fatal(err)
	}
	spec := cluster.Default()
	spec.Name, spec.APIPort = name, 1
	if err := cluster.WriteState(files.State(), cluster.State{Spec: spec, Machines: []cluster.Machine{{Name: node, Number: 21}}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// serve runs the node's spool and the daemon's path to it until the test ends.
func (r *rig) serve() {
	kept := spool.New(spool.Config{Dir: r.logs, Pods: "pods", Programs: "skiff", Kept: "kept", Limit: 4 << 30, Log: slog.New(slog.DiscardHandler)})
	listener, err := unixsocket.Listen(r.home.Cluster(name).Socket())
	if err != nil {
		r.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+daemonapi.PathNode+node+nodeapi.PathTakeLogs, func(w http.ResponseWriter, request *http.Request) {
		var take nodeapi.TakeRequest
		if err := jsonhttp.Decode(request.Body, &take); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = kept.Take(request.Context(), take, nodeapi.NewLogWriter(w))
	})
	server := &http.Server{Handler: mux}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = kept.Run(ctx) })
	all.Go(func() { _ = server.Serve(listener) })
	r.t.Cleanup(func() {
		cancel()
		_ = server.Close()
		all.Wait()
	})
}

// store starts the process of the store, and returns what ends it in an orderly way.
func (r *rig) store() func() {
	r.t.Helper()
	r.t.Setenv(storeVariable, string(r.home))
	log := &bytes.Buffer{}
	c := child.New(child.Config{
		Command: func() []string { return []string{os.Args[0]} }, Socket: r.home.Cluster(name).LogsSocket(), Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	opening, opened := context.WithTimeout(ctx, limit)
	defer opened()
	if err := c.WaitReady(opening); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		r.t.Helper()
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		if r.t.Failed() {
			r.t.Log(log)
		}
	}
}

func (r *rig) client() *query.Client {
	return &query.Client{Transport: child.Transport(r.home.Cluster(name).LogsSocket()), Base: "http://logs"}
}

// kill ends the process of the store as a crash does.
func (r *rig) kill() {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(string(r.home), "pid"))
	if err != nil {
		r.t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func podName(i int) string { return fmt.Sprintf("pod-%02d", i) }

// text is line number n of a pod. Some are long, so that the runtime splits them.
func text(pod, n int) string {
	line := fmt.Sprintf("%s line %07d status=%d path=/api/v1/items/%d took=%dms", podName(pod), n, 200+n%5, n*7919%10007, n%97)
	if n%1000 == 999 {
		line += strings.Repeat(" long", 4000)
	}
	return line
}

// write is a pod that writes lines for a while, and a kubelet that rotates its log.
func (r *rig) write(pod int, end time.Time, count *atomic.Int64) (int, error) {
	dir := filepath.Join(r.logs, "pods", "shop_"+podName(pod)+"_uid-"+podName(pod), "app")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	path := filepath.Join(dir, "0.log")
	var file *os.File
	size, old := 0, []string{}
	defer func() { _ = file.Close() }()
	begun, n := time.Now(), 0
	for ; time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if file == nil || size > rotateBytes {
			if file != nil {
				// The runtime opens the new file after the old one was renamed.
				rotatedPath := path + "." + time.Now().Format("20060102-150405.000000000")
				if err := errors.Join(os.Rename(path, rotatedPath), file.Close()); err != nil {
					return n, err
				}
				if old = append(old, rotatedPath); len(old) > rotated {
					if err := os.Remove(old[0]); err != nil {
						return n, err
					}
					old = old[1:]
				}
			}
			var err error
			if file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
				return n, err
			}
			size = 0
		}
		var batch bytes.Buffer
		for due := int(time.Since(begun).Seconds() * float64(*rate) / pods); n < due; n++ {
			writeCRI(&batch, text(pod, n))
		}
		if _, err := file.Write(batch.Bytes()); err != nil {
			return n, err
		}
		size += batch.Len()
		count.Store(int64(n))
	}
	return n, nil
}

// writeCRI writes a line as containerd does.
func writeCRI(to *bytes.Buffer, line string) {
	const most = 16 << 10
	for len(line) > most {
		fmt.Fprintf(to, "%s stdout P %s\n", time.Now().UTC().Format(time.RFC3339Nano), line[:most])
		line = line[most:]
	}
	fmt.Fprintf(to, "%s stdout F %s\n", time.Now().UTC().Format(time.RFC3339Nano), line)
}

// TestLinesOfManyPodsArriveCompleteAndInOrder writes while the store's process is
// killed, is away for a while and ends in an orderly way, and while pods are deleted.
func TestLinesOfManyPodsArriveCompleteAndInOrder(t *testing.T) {
	r := newRig(t)
	r.serve()
	stop := r.store()
	begun := time.Now()
	end := begun.Add(time.Duration(*seconds) * time.Second)
	var written [pods]int
	var counts [pods]atomic.Int64
	var all sync.WaitGroup
	for pod := range pods {
		all.Go(func() {
			var err error
			if written[pod], err = r.write(pod, end, &counts[pod]); err != nil {
				t.Errorf("%s: %v", podName(pod), err)
			}
			if pod%3 == 0 { // a deleted pod
				if err := os.RemoveAll(filepath.Join(r.logs, "pods", "shop_"+podName(pod)+"_uid-"+podName(pod))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	part := time.Duration(*seconds) * time.Second / 4
	time.Sleep(part)
	r.kill()
	time.Sleep(part)
	stop()
	time.Sleep(part)
	stop = r.store()
	all.Wait()
	total := 0
	for _, n := range written {
		total += n
	}
	t.Logf("%d lines written in %.1f s", total, time.Since(begun).Seconds())
	r.await(total)
	t.Logf("all are in the store %.1f s after the first one", time.Since(begun).Seconds())
	for pod := range pods {
		r.check(pod, written[pod])
	}
	stop()
}

// await waits until the store has a number of entries.
func (r *rig) await(total int) {
	r.t.Helper()
	got := 0
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		err := r.client().Search(r.t.Context(), query.Question{Query: "* | stats count() n"}, func(e query.Entry) error {
			var err error
			got, err = strconv.Atoi(e.Fields["n"])
			return err
		})
		if err == nil && got >= total {
			time.Sleep(2 * time.Second) // for any that comes twice
			return
		}
	}
	r.t.Errorf("%d of %d lines are in the store", got, total)
}

var errMany = errors.New("more are wrong")

// check compares the lines of a pod with what it wrote.
func (r *rig) check(pod, want int) {
	r.t.Helper()
	next, wrong := 0, 0
	err := r.client().Search(r.t.Context(), query.Question{Filter: query.Is("pod", podName(pod))}, func(e query.Entry) error {
		if e.Fields["_msg"] != text(pod, next) {
			r.t.Errorf("%s: entry %d is %.60q, want %.60q", podName(pod), next, e.Fields["_msg"], text(pod, next))
			if wrong++; wrong == 3 {
				return errMany
			}
		}
		next++
		return nil
	})
	if err != nil && !errors.Is(err, errMany) {
		r.t.Errorf("%s: %v", podName(pod), err)
	}
	if next != want {
		r.t.Errorf("%s: %d entries, want %d", podName(pod), next, want)
	}
}
