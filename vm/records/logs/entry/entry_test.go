package entry

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func cri(second int, stream, tag, text string) string {
	return fmt.Sprintf("2026-11-29T10:00:%02d.000000001Z %s %s %s\n", second, stream, tag, text)
}

func texts(entries []Entry) (texts []string) {
	for _, e := range entries {
		texts = append(texts, e.Text)
	}
	return texts
}

func join(log string, parse ParseFunc) []Entry {
	var entries []Entry
	j := NewJoiner(Position{}, parse, func(e Entry) { entries = append(entries, e) })
	j.Write([]byte(log), now)
	j.End(now)
	return entries
}

func plain(line []byte) Line { return Line{Text: line} }

func TestParseCRIReadsTheFormatOfKubelets(t *testing.T) {
	at := time.Date(2016, 10, 6, 0, 17, 9, 669794202, time.UTC).UnixNano()
	for _, c := range []struct {
		line string
		want Line
	}{
		{"2016-10-06T00:17:09.669794202Z stdout F The content", Line{at, "stdout", false, []byte("The content")}},
		{"2016-10-06T00:17:09.669794202Z stderr P part", Line{at, "stderr", true, []byte("part")}},
		{"2016-10-06T02:17:09.669794202+02:00 stdout P:x:y part", Line{at, "stdout", true, []byte("part")}},
		{"2016-10-06T00:17:09.669794202Z stdout F", Line{at, "stdout", false, nil}},
		{"2016-10-06T00:17:09.669794202Z stdout F  a  b", Line{at, "stdout", false, []byte(" a  b")}},
		{"no container wrote this", Line{Text: []byte("no container wrote this")}},
		{"2016-10-06T00:17:09Z other F x", Line{Text: []byte("2016-10-06T00:17:09Z other F x")}},
		{"9999-10-06T00:17:09Z stdout F x", Line{Text: []byte("9999-10-06T00:17:09Z stdout F x")}},
		{"", Line{Text: []byte{}}},
	} {
		if got := ParseCRI([]byte(c.line)); got.Time != c.want.Time || got.Stream != c.want.Stream || got.Partial != c.want.Partial || string(got.Text) != string(c.want.Text) {
			t.Errorf("%q: %+v, want %+v", c.line, got, c.want)
		}
	}
}

func TestLinesThatTheRuntimeSplitAreJoinedPerStream(t *testing.T) {
	log := cri(1, "stdout", "P", "one ") + cri(1, "stderr", "F", "error") + cri(2, "stdout", "P", "two ") + cri(3, "stdout", "F", "three") + cri(4, "stdout", "F", "next")
	got := texts(join(log, ParseCRI))
	slices.Sort(got)
	if want := []string{"error", "next", "one two three"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestStackTracesStayTogether(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  []int // lines of each entry
	}{
		{"Java", []string{
			"12:00 ERROR request failed", "java.lang.IllegalStateException: no", "\tat com.example.A.run(A.java:10)", "\tat com.example.Main.main(Main.java:3)",
			"Caused by: java.io.IOException: closed", "\tat com.example.B.read(B.java:5)", "\t... 2 more", "\tSuppressed: java.lang.Exception", "\t\tat x.Y.z(Y.java)", "12:01 INFO next",
		}, []int{1, 8, 1}},
		{"JavaScript", []string{"TypeError: x is undefined", "    at f (/app/a.js:1:2)", "    at Object.<anonymous> (/app/b.js:3:4)", "listening"}, []int{3, 1}},
		{".NET", []string{"System.Exception: outer", " ---> System.Exception: inner", "   at A.B() in a.cs:line 1", "   --- End of inner exception stack trace ---", "   at C.D()", "ok"}, []int{1, 4, 1}},
		{"Python", []string{
			"before", "Traceback (most recent call last):", `  File "a.py", line 1, in f`, "    g()", "KeyError: 'x'", "",
			"During handling of the above exception, another exception occurred:", "", "Traceback (most recent call last):", `  File "a.py", line 3`, "    h()", "ValueError: bad", "after",
		}, []int{1, 11, 1}},
		{"Go", []string{
			"starting", "panic: boom [recovered]", "\tpanic: again", "", "goroutine 1 [running]:", "main.(*T).run(0xc0000, {0x1, 0x2})", "\t/src/main.go:12 +0x1d",
			"created by main.main in goroutine 1", "\t/src/main.go:5", "exit status 2", "starting",
		}, []int{1, 9, 1}},
		{"Go server", []string{"2026/11/29 http: panic serving 10.0.0.1:5: no", "goroutine 12 [running]:", "net/http.(*conn).serve.func1()", "\t/go/server.go:1", "2026/11/29 GET /"}, []int{4, 1}},
		{"no trace", []string{"a", "  b", "", "at c", "error: d (e)", "main.go: f(x)"}, []int{1, 1, 1, 1, 1, 1}},
		{"a frame first", []string{"\tat com.example.A.run(A.java:10)", "x"}, []int{1, 1}},
	} {
		var lines []int
		for _, e := range join(strings.Join(c.lines, "\n")+"\n", plain) {
			lines = append(lines, e.Lines)
		}
		if !slices.Equal(lines, c.want) {
			t.Errorf("%s: entries of %v lines, want %v", c.name, lines, c.want)
		}
	}
}

// TestAJoinerContinuesAnywhere ends a Joiner after every byte of a log and begins
// another one at its position: together they emit each entry once.
func TestAJoinerContinuesAnywhere(t *testing.T) {
	log := cri(1, "stdout", "P", "one ") + cri(1, "stderr", "F", "panic: x") + cri(2, "stdout", "F", "two") +
		cri(2, "stderr", "F", "") + cri(2, "stderr", "F", "goroutine 1 [running]:") + cri(2, "stdout", "F", "same time") + cri(3, "stderr", "F", "end")
	want := join(log, ParseCRI)
	for at := range len(log) + 1 {
		var got []Entry
		emit := func(e Entry) { got = append(got, e) }
		first := NewJoiner(Position{}, ParseCRI, emit)
		first.Write([]byte(log[:at]), now)
		position := first.Position()
		second := NewJoiner(position, ParseCRI, emit)
		second.Write([]byte(log[position.Offset:]), now)
		second.End(now)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("continued at %d (%+v): %+v, want %+v", at, position, got, want)
		}
	}
}

func TestAQuietStreamDoesNotWaitForABusyOne(t *testing.T) {
	var got []string
	j := NewJoiner(Position{}, ParseCRI, func(e Entry) { got = append(got, e.Text) })
	j.Write([]byte(cri(1, "stderr", "F", "quiet")), now)
	j.Write([]byte(cri(2, "stdout", "F", "busy")), now.Add(2*time.Second))
	j.Flush(now.Add(time.Second))
	if !slices.Equal(got, []string{"quiet"}) || !j.Pending() {
		t.Errorf("%q", got)
	}
}

func TestEntriesOfAStreamHaveIncreasingTimes(t *testing.T) {
	log := cri(5, "stdout", "F", "a") + cri(5, "stdout", "F", "b") + cri(5, "stdout", "F", "c") + cri(1, "stdout", "F", "the clock was set back") + cri(1, "stdout", "F", "d")
	entries := join(log, ParseCRI)
	second := entries[0].Time
	back := second - 4e9
	for i, want := range []int64{second, second + 1, second + 2, back, back + 1} {
		if entries[i].Time != want {
			t.Errorf("entry %d: %d, want %d", i, entries[i].Time, want)
		}
	}
}

func TestALineWithoutAnEndIsEmittedWhenTheFileEnds(t *testing.T) {
	if got := texts(join("a\nb", plain)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}

func TestEntriesAreBounded(t *testing.T) {
	entries := join(strings.Repeat("x", 3*maxLine+5)+"\n", plain)
	if len(entries) != 4 || len(entries[0].Text) != MaxText || !entries[0].Cut || entries[3].End != 3*maxLine+6 {
		t.Errorf("a long line became %d entries", len(entries))
	}
	trace := "E: x\n" + strings.Repeat("\tat a.b(c)\n", 3*maxJoined)
	for _, e := range join(trace, plain) {
		if e.Lines > maxJoined || len(e.Text) > MaxText {
			t.Errorf("an entry has %d lines, %d bytes", e.Lines, len(e.Text))
		}
	}
}

func TestFieldsAreTakenFromJSON(t *testing.T) {
	deep := `{"a":{"b":{"c":{"d":{"e":1}}}}}`
	for _, c := range []struct {
		text string
		want []Field
	}{
		{`{"level":"info","http":{"status":200,"ok":true},"tags":["a","b"],"none":null,"empty":""}`, []Field{
			{"level", "info"}, {"http.status", "200"}, {"http.ok", "true"}, {"tags", `["a","b"]`},
		}},
		{`{"pod":"x","_time":"y","label.app":"z","":"w"}`, []Field{{"json.pod", "x"}, {"json._time", "y"}, {"json.label.app", "z"}, {"json.", "w"}}},
		{`{"a":1,"a":2,"b":{"c":3},"b.c":4}`, []Field{{"a", "1"}, {"b.c", "3"}}},
		{deep, []Field{{"a.b.c.d", `{"e":1}`}}},
		{"plain", nil}, {"{not json}", nil}, {`["a"]`, nil}, {`{"a":1} {"b":2}`, nil}, {"{}", nil},
		{`{"` + strings.Repeat("n", maxName+1) + `":1,"a":2}`, []Field{{"a", "2"}}},
	} {
		var p Parser
		if got := p.Fields(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%.80s: %v, want %v", c.text, got, c.want)
		}
	}
	var p Parser
	if got := p.Fields(`{"a":"` + strings.Repeat("ä", maxValue) + `"}`); len(got) != 1 || len(got[0].Value) > maxValue || !strings.HasSuffix(got[0].Value, "ä") {
		t.Errorf("a long value: %d fields", len(got))
	}
	many := "{"
	for i := range 3 * maxFields {
		many += fmt.Sprintf(`"f%d":1,`, i)
	}
	if got := p.Fields(strings.TrimSuffix(many, ",") + "}"); len(got) != maxFields {
		t.Errorf("%d fields", len(got))
	}
}

func TestParsePathNamesTheContainer(t *testing.T) {
	want := Container{"shop", "web-1", "0a1b", "app", "2"}
	if got, ok := ParsePath("shop_web-1_0a1b/app/2.log"); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if got, ok := ParsePath("shop_web-1_0a1b/app/2.log.20261129-100000"); !ok || got != want {
		t.Errorf("a rotated file: %+v, %v", got, ok)
	}
	for _, path := range []string{"", "a/b", "a_b/c/0.log", "a__c/d/0.log", "a_b_c//0.log", "a_b_c/d/x.log", "a_b_c/d/.log", "a_b_c/d/0", "a_b_c/../0.log/x"} {
		if got, ok := ParsePath(path); ok {
			t.Errorf("%q: %+v", path, got)
		}
	}
}

func TestLabelsLeaveOutHashesAndAreSorted(t *testing.T) {
	got := Labels(map[string]string{"app": "web", "pod-template-hash": "x", "app.kubernetes.io/name": "y", "empty": ""})
	if want := []Field{{"label.app", "web"}, {"label.app.kubernetes.io/name", "y"}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// FuzzJoiner checks that any log, read in two parts, becomes the same entries as read
// at once, within the bounds.
func FuzzJoiner(f *testing.F) {
	f.Add([]byte(cri(1, "stdout", "P", "a")+cri(1, "stdout", "F", "b")), 3)
	f.Add([]byte("panic: x\n\ngoroutine 1 [running]:\n"), 10)
	f.Add([]byte(`{"a":{"b":"\u001b[31m"}}`), 1)
	f.Fuzz(func(t *testing.T, log []byte, at int) {
		if at < 0 || at > len(log) {
			return
		}
		want := join(string(log), ParseCRI)
		var got []Entry
		j := NewJoiner(Position{}, ParseCRI, func(e Entry) { got = append(got, e) })
		j.Write(log[:at], now)
		j.Write(log[at:], now)
		j.End(now)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		var p Parser
		for _, e := range got {
			if len(e.Text) > MaxText+len("\uFFFD")*MaxText {
				t.Errorf("an entry of %d bytes", len(e.Text))
			}
			if fields := p.Fields(e.Text); len(fields) > maxFields {
				t.Errorf("%d fields", len(fields))
			}
		}
	})
}

func TestTimesAndLevelsOfProgramsAreRead(t *testing.T) {
	at := time.Date(2026, 11, 29, 10, 0, 0, 123456000, time.UTC).UnixNano()
	for _, c := range []struct{ line, fields string }{
		{"W1129 10:00:00.123456   12 a.go:1] text", "level=warn"},
		{"time=2026-11-29T10:00:00.123456Z level=INFO msg=x", "level=info"},
		{`time="2026-11-29T10:00:00.123456Z" level=error msg="x y"`, "level=error"},
		{"2026-11-29T10:00:00.123456Z 1.20s containerd started", ""},
	} {
		line := ParseProgram(2026)([]byte(c.line))
		if fields := fieldsText(ProgramFields(c.line)); line.Time != at || fields != c.fields {
			t.Errorf("%q: %d, %q", c.line, line.Time, fields)
		}
	}
	for _, line := range []string{"", "I", "plain text", "Ixxxx 10:00:00.123456 x", "time=never level=x1 y"} {
		if got := ParseProgram(2026)([]byte(line)); got.Time != 0 || ProgramFields(line) != nil {
			t.Errorf("%q: %d, %v", line, got.Time, ProgramFields(line))
		}
	}
}

func fieldsText(fields []Field) string {
	var texts []string
	for _, f := range fields {
		texts = append(texts, f.Name+"="+f.Value)
	}
	return strings.Join(texts, " ")
}

func TestKernelMessagesHaveLevels(t *testing.T) {
	text := "2026-11-29T10:00:00Z 4 oom-kill: x"
	if line := ParseKernel([]byte(text)); line.Time != time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC).UnixNano() {
		t.Errorf("%+v", line)
	}
	if level, rest := KernelLevel(text); level != "warn" || rest != "oom-kill: x" {
		t.Errorf("%q, %q", level, rest)
	}
	if level, rest := KernelLevel("x 9 y"); level != "info" || rest != "x 9 y" {
		t.Errorf("%q, %q", level, rest)
	}
}

func TestAuditRecordsBecomeSentences(t *testing.T) {
	record := `{"kind":"Event","verb":"create","user":{"username":"alice"},"objectRef":{"resource":"pods","subresource":"exec","namespace":"shop","name":"web"},"responseStatus":{"code":101},"stageTimestamp":"2026-11-29T10:00:00.5Z"}`
	if line := ParseAudit([]byte(record)); line.Time != time.Date(2026, 11, 29, 10, 0, 0, 5e8, time.UTC).UnixNano() {
		t.Errorf("%+v", line)
	}
	var p Parser
	if got, want := AuditSummary(p.Fields(record)), "create pods/exec shop/web by alice: 101"; got != want {
		t.Errorf("%q", got)
	}
	if got := AuditSummary(p.Fields(`{"verb":"get","user":{"username":"bob"},"requestURI":"/healthz"}`)); got != "get /healthz by bob: " {
		t.Errorf("%q", got)
	}
	if got := AuditSummary(nil); got != "" {
		t.Errorf("%q", got)
	}
}
