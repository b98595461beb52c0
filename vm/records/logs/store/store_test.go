package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
	"github.com/skiff-dev/skiff/vm/records/logs/query"
)

// The store is that of its process, so every test that opens one is run by a process
// of its own: the test program with this variable set to the name of the test.
const inChild = "SKIFF_TEST_LOG_STORE"

func alone(t *testing.T, test func(t *testing.T, dir string)) {
	t.Helper()
	if os.Getenv(inChild) == t.Name() {
		test(t, os.Getenv(inChild+"_DIR"))
		return
	}
	if output, err := again(t, t.TempDir()); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// again runs the test in another process, with a directory that stays.
func again(t *testing.T, dir string) (string, error) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), inChild+"="+t.Name(), inChild+"_DIR="+dir)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

var labels = []entry.Field{{Name: "cluster", Value: "dev"}, {Name: "source", Value: "container"}, {Name: "pod", Value: `we"b`}, {Name: "stream", Value: "stdout"}}

func row(at time.Time, text string, fields ...entry.Field) collect.Row {
	return collect.Row{Time: at.UnixNano(), Labels: labels, Text: text, Fields: fields}
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: filepath.Join(dir, "store"), LimitBytes: 1 << 30, Age: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, s *Store, name string, query url.Values) string {
	t.Helper()
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	response, err := http.Get(server.URL + PathSelect + name + "?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", name, response.Status, err, text)
	}
	return string(text)
}

// eventually waits until the library shows what was added.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !check(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after a minute", what)
		}
	}
}

func TestRowsAreFoundByTheQueryAPI(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		now := time.Now().Truncate(time.Second)
		if err := s.Add([]collect.Row{
			row(now, "first \x1b[31mred"), row(now.Add(1), "second", entry.Field{Name: "level", Value: "error"}), row(now.Add(2), ""),
		}); err != nil {
			t.Fatal(err)
		}
		all := url.Values{"query": {`_time:1h`}, "step": {"1h"}}
		eventually(t, "three rows", func() bool { return strings.Count(ask(t, s, "query", all), "\n") == 3 })
		var found struct {
			Text string `json:"_msg"`
			Pod  string
		}
		if err := json.Unmarshal([]byte(ask(t, s, "query", url.Values{"query": {`level:error`}})), &found); err != nil || found.Text != "second" || found.Pod != `we"b` {
			t.Errorf("%+v, %v", found, err)
		}
		for _, name := range []string{"hits", "field_names", "streams", "stream_ids", "facets", "stream_field_names"} {
			if text := ask(t, s, name, all); !json.Valid([]byte(text)) {
				t.Errorf("%s: %s", name, text)
			}
		}
		if text := ask(t, s, "field_values", url.Values{"query": {"*"}, "field": {"level"}}); !strings.Contains(text, `"error"`) {
			t.Errorf("values of level: %s", text)
		}
		if text := ask(t, s, "stats_query", url.Values{"query": {`* | stats count() n`}}); !strings.Contains(text, `"3"`) {
			t.Errorf("count: %s", text)
		}
		times, err := s.Times(t.Context(), labels, now.UnixNano()+1)
		if err != nil || len(times) != 2 || !times[now.UnixNano()+1] || times[now.UnixNano()] {
			t.Errorf("times %v, %v", times, err)
		}
		if times, err := s.Times(t.Context(), labels[:2], now.UnixNano()); err != nil || len(times) != 3 {
			t.Errorf("times of all pods: %v, %v", times, err)
		}
		s.Close()
		if err := s.Add([]collect.Row{row(now, "late")}); err == nil {
			t.Error("a closed store accepts rows")
		}
	})
}

// TestWhatGrafanaAsksFirstIsAnswered sends what Grafana's data source for VictoriaLogs sends
// when it is added.
// The library writes its index of streams and the rows at different times, so the index may be
// older than the rows once its process was killed.
func TestTimesOfRowsAreFoundWithoutTheIndexOfTheirStream(t *testing.T) {
	dir := t.TempDir()
	if of := os.Getenv(inChild + "_DIR"); of != "" {
		dir = of
	}
	at := time.Now().Truncate(time.Second)
	later := slices.Clone(labels)
	later[3].Value = "stderr"
	switch os.Getenv(inChild + "_STEP") {
	case "first", "second":
		s := open(t, dir)
		defer s.Close()
		r := row(at, "line")
		if os.Getenv(inChild+"_STEP") == "second" {
			r.Labels = later
		}
		if err := s.Add([]collect.Row{r}); err != nil {
			t.Fatal(err)
		}
		return
	case "third":
		s := open(t, dir)
		defer s.Close()
		for name, of := range map[string][]entry.Field{"with an index": labels, "without": later} {
			times, err := s.Times(t.Context(), of, at.Add(-time.Hour).UnixNano())
			if err != nil || len(times) != 1 {
				t.Errorf("%s: %d times, want 1, %v", name, len(times), err)
			}
		}
		return
	}
	step := func(name string) {
		t.Helper()
		t.Setenv(inChild+"_STEP", name)
		if output, err := again(t, dir); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	step("first")
	found, err := filepath.Glob(filepath.Join(dir, "store/partitions/*/indexdb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("indexes %q, %v", found, err)
	}
	kept := filepath.Join(dir, "kept")
	if err := os.CopyFS(kept, os.DirFS(found[0])); err != nil {
		t.Fatal(err)
	}
	step("second")
	if err := errors.Join(os.RemoveAll(found[0]), os.Rename(kept, found[0])); err != nil {
		t.Fatal(err)
	}
	step("third")
}

func TestWhatGrafanaAsksFirstIsAnswered(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		server := httptest.NewServer(s.Handler())
		defer server.Close()
		module, err := os.ReadFile("../../../../go.mod")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(module), "github.com/VictoriaMetrics/VictoriaLogs "+version+"\n") {
			t.Errorf("%s is not the version of VictoriaLogs in go.mod", version)
		}
		for path, want := range map[string]string{
			PathHealth: "OK", PathBuild: `{"status":"success","data":{"version":"` + version + `"}}`,
		} {
			response, err := http.Get(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK || string(text) != want {
				t.Errorf("%s: %s %s, %v", path, response.Status, text, err)
			}
		}
		if text := ask(t, s, "query_time_range", url.Values{"query": {"_time:5m"}}); !json.Valid([]byte(text)) {
			t.Errorf("the range of a query: %s", text)
		}
	})
}

func TestAProcessWaitsForTheOneThatHasTheStoreOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs", "store")
	release, err := Lock(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lock(ended, dir, slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Errorf("a second process: %v", err)
	}
	next := make(chan error)
	go func() {
		release, err := Lock(t.Context(), dir, slog.New(slog.DiscardHandler))
		if err == nil {
			release()
		}
		next <- err
	}()
	release()
	if err := <-next; err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}

func TestInvalidQueriesAreRefused(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		server := httptest.NewServer(s.Handler())
		defer server.Close()
		for _, path := range []string{"query?query=" + url.QueryEscape("| stats"), "query", "hits?query=*&step=x", "field_values?query=*", "query?query=*&limit=-1"} {
			response, err := http.Get(server.URL + PathSelect + path)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s", path, response.Status)
			}
		}
		request, _ := http.NewRequest(http.MethodDelete, server.URL+PathSelect+"query?query=*", nil)
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("DELETE: %v, %v", response.Status, err)
		}
	})
}

func TestATailShowsNewRows(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		server := httptest.NewServer(s.Handler())
		defer server.Close()
		response, err := http.Get(server.URL + PathSelect + "tail?query=*&offset=0s&refresh_interval=100ms")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if err := s.Add([]collect.Row{row(time.Now(), "tailed")}); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(response.Body).ReadString('\n')
		if err != nil || !strings.Contains(line, "tailed") {
			t.Errorf("%q, %v", line, err)
		}
	})
}

func TestTailsAreBounded(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		server := httptest.NewServer(s.Handler())
		defer server.Close()
		status := func(query string) (int, func()) {
			response, err := http.Get(server.URL + PathSelect + "tail?query=*&" + query)
			if err != nil {
				t.Fatal(err)
			}
			return response.StatusCode, func() { _ = response.Body.Close() }
		}
		for _, text := range []string{"1ns", "99ms", "0", "-1s", "x"} {
			got, end := status("refresh_interval=" + text)
			if end(); got != http.StatusBadRequest {
				t.Errorf("every %s: status %d", text, got)
			}
		}
		for range maxTails {
			got, end := status("refresh_interval=1s")
			defer end()
			if got != http.StatusOK {
				t.Errorf("a tail: status %d", got)
			}
		}
		if got, end := status(""); got != http.StatusServiceUnavailable {
			t.Errorf("one too many: status %d", got)
			end()
		}
	})
}

func TestWordsAreFoundAsTheyAreUsuallySpelled(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		now := time.Now().Truncate(time.Second)
		var rows []collect.Row
		texts := []string{"connection timeout", "Timeout of web", "ReadTimeout", "TIMEOUT!", "read_timeout=3 a.b*c", `say "hi" \o/`, "timely", "Öl"}
		for i, text := range texts {
			rows = append(rows, row(now.Add(time.Duration(i)), text))
		}
		if err := s.Add(rows); err != nil {
			t.Fatal(err)
		}
		found := func(text string) string {
			var all []string
			for line := range strings.Lines(ask(t, s, "query", url.Values{"query": {query.Words(text)}})) {
				var e struct {
					Text string `json:"_msg"`
				}
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatal(err)
				}
				all = append(all, strconv.Itoa(slices.Index(texts, e.Text)))
			}
			slices.Sort(all)
			return strings.Join(all, "")
		}
		eventually(t, "all rows", func() bool { return strings.Count(ask(t, s, "query", url.Values{"query": {"*"}}), "\n") == len(texts) })
		for text, want := range map[string]string{
			"timeout": "01234", "TIMEOUT": "01234", "Timeout": "01234", "ReadTimeout": "2", "timeout !read": "013", "a.b*c": "4", "a.b": "4", "a?b": "", `"hi"`: "5", `\o/`: "5", "öl": "7", "!time": "57",
		} {
			if got := found(text); got != want {
				t.Errorf("%s: rows %s, want %s", text, got, want)
			}
		}
	})
}

func TestOldRowsAreDeleted(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		now := time.Now()
		var rows []collect.Row
		for i := range 1000 {
			rows = append(rows, row(now.Add(-time.Duration(1000-i)*time.Second), fmt.Sprint("row ", i)))
		}
		if err := s.Add(rows); err != nil {
			t.Fatal(err)
		}
		count := func() int { return strings.Count(ask(t, s, "query", url.Values{"query": {"*"}}), "\n") }
		eventually(t, "all rows", func() bool { return count() == len(rows) })
		cut, err := s.quantile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the rows on disk", func() bool {
			parts, err := filepath.Glob(filepath.Join(s.dir, "partitions", "*", "datadb", "*", "timestamps.bin"))
			return err == nil && len(parts) > 0
		})
		if err := s.delete(t.Context(), time.Now(), cut); err != nil {
			t.Fatal(err)
		}
		if left := count(); left < len(rows)/2 || left > len(rows)-len(rows)/trim+1 {
			t.Errorf("%d of %d rows are left", left, len(rows))
		}
	})
}

// TestALargeStoreLosesItsOldestRows has rows of the future, as after a clock was set back.
func TestALargeStoreLosesItsOldestRows(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		begin := time.Now().Add(time.Hour)
		const rows = 100_000
		for n := 0; n < rows; {
			var batch []collect.Row
			for range 1000 {
				sum := sha256.Sum256([]byte(strconv.Itoa(n))) // does not compress
				batch = append(batch, row(begin.Add(time.Duration(n)*time.Millisecond), hex.EncodeToString(sum[:])))
				n++
			}
			if err := s.Add(batch); err != nil {
				t.Fatal(err)
			}
		}
		count := func() string {
			return ask(t, s, "query", url.Values{"query": {`* | stats count() n, max(_time) last`}})
		}
		eventually(t, "all rows", func() bool { return strings.Contains(count(), `"100000"`) })
		eventually(t, "the rows on disk", func() bool { return records.Size(s.dir) > rows*30 })
		time.Sleep(2 * time.Second) // the rest
		before := records.Size(s.dir)
		s.limit = before * 6 / 10
		for range 10 {
			if records.Size(s.dir) <= s.limit {
				break
			}
			if err := s.bound(t.Context(), time.Now(), true, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}
		if after := records.Size(s.dir); after > s.limit {
			t.Errorf("%d bytes are left of %d", after, before)
		}
		last := begin.Add((rows - 1) * time.Millisecond).UTC().Format("2006-01-02T15:04:05")
		if text := count(); !strings.Contains(text, last) || strings.Contains(text, `"n":"0"`) {
			t.Errorf("left: %s, want the last at %s", text, last)
		}
	})
}

func TestAFullDiskRefusesRowsAndAnswersQueries(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s, err := Open(Config{Dir: filepath.Join(dir, "store"), LimitBytes: 1 << 30, Age: 24 * time.Hour, MinFree: 1 << 60})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Add([]collect.Row{row(time.Now(), "text")}); !errors.Is(err, collect.ErrFull) {
			t.Errorf("%v", err)
		}
		if text := ask(t, s, "query", url.Values{"query": {"*"}}); text != "" {
			t.Errorf("%q", text)
		}
	})
}

func TestACopyIsOpenedWithoutChangingTheStore(t *testing.T) {
	if os.Getenv(inChild) == t.Name() {
		s := open(t, os.Getenv(inChild+"_DIR"))
		rows := strings.Count(ask(t, s, "query", url.Values{"query": {"*"}}), "\n")
		if err := s.Add([]collect.Row{row(time.Now(), "text")}); err != nil {
			t.Fatal(err)
		}
		if want := os.Getenv(inChild + "_ROWS"); strconv.Itoa(rows) != want {
			t.Errorf("%d rows were found, want %s", rows, want)
		}
		s.Close()
		return
	}
	dir, other := t.TempDir(), t.TempDir()
	for n := range 3 {
		t.Setenv(inChild+"_ROWS", strconv.Itoa(n))
		if output, err := again(t, dir); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	original := filepath.Join(dir, "store")
	before := tree(t, original)
	if err := Copy(t.Context(), original, filepath.Join(other, "store"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Setenv(inChild+"_ROWS", "3")
	if output, err := again(t, other); err != nil {
		t.Fatalf("the copy: %v\n%s", err, output)
	}
	if after := tree(t, original); after != before {
		t.Errorf("the store changed:\n%s\n%s", before, after)
	}
}

// tree lists the files of a directory with their content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s %x\n", path, sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestADamagedStoreEndsItsProcess shows what package child relies on.
func TestADamagedStoreEndsItsProcess(t *testing.T) {
	if os.Getenv(inChild) == t.Name() {
		s := open(t, os.Getenv(inChild+"_DIR"))
		if err := s.Add([]collect.Row{row(time.Now(), "text")}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		return
	}
	dir := t.TempDir()
	if output, err := again(t, dir); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "store", "partitions", "*", "datadb", "parts.json"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("%v, %v", parts, err)
	}
	if err := os.WriteFile(parts[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := again(t, dir)
	if err == nil || !slices.ContainsFunc(strings.Split(output, "\n"), func(line string) bool { return strings.Contains(line, "parts.json") }) {
		t.Errorf("%v\n%s", err, output)
	}
}
