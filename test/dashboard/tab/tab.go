// Package tab drives the dashboard in a real browser and notices whatever goes wrong on
// its pages: errors, refused content, and requests to other servers.
package tab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/skiff-dev/skiff/test/browser"
)

// limit is how long to wait for something on a page. It is long, because the machine
// may be busy; only failing tests take that long.
const limit = time.Minute

// Tab is a tab of a browser that shows the dashboard.
type Tab struct {
	t    testing.TB
	ctx  context.Context
	base string

	mu       sync.Mutex // guards the fields below
	problems []string
	outside  []string // addresses of other servers that were requested
	allowed  []string // parts of problems that the test expects
}

// Open opens a link to the dashboard, and returns when the first screen is shown.
func Open(t testing.TB, link string) *Tab {
	t.Helper()
	return OpenFrom(t, link, link)
}

// OpenFrom is Open for a page that redirects to the link.
func OpenFrom(t testing.TB, page, link string) *Tab {
	t.Helper()
	parsed, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	b := &Tab{t: t, ctx: browser.Start(t), base: "http://" + parsed.Host}
	if err := chromedp.Listen(b.ctx, b.observe); err != nil {
		t.Fatal(err)
	}
	browser.Do(b.ctx, t, chromedp.Navigate(page))
	b.Await("the first screen", `document.querySelector("h1") !== null`)
	return b
}

// observe collects what goes wrong on a page.
func (b *Tab) observe(event any) {
	problem := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			problem = fmt.Sprintf("%s %s: %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			for _, argument := range e.Args {
				problem += " " + string(argument.Value) + argument.Description
			}
		}
	case *page.EventJavascriptDialogOpening:
		problem = "a dialog: " + e.Message
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.base+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "file:") {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.outside = append(b.outside, u)
		}
	}
	if problem != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, problem)
	}
}

// Allow allows problems that contain one of the given parts, such as refused requests.
func (b *Tab) Allow(parts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed = append(b.allowed, parts...)
}

// Clean reports every problem since its last call as an error of the test.
func (b *Tab) Clean(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, problem := range b.problems {
		expected := false
		for _, part := range b.allowed {
			expected = expected || strings.Contains(problem, part)
		}
		if !expected {
			b.t.Errorf("%s: %s", where, problem)
		}
	}
	for _, address := range b.outside {
		b.t.Errorf("%s: %s was requested", where, address)
	}
	b.problems, b.outside = nil, nil
}

// Evaluate returns the value of an expression.
func Evaluate[T any](b *Tab, expression string) T {
	b.t.Helper()
	return browser.Run(b.ctx, b.t, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Await waits until an expression, or the value of its promise, is true. The page's policy
// forbids chromedp.Poll.
func (b *Tab) Await(what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if Evaluate[bool](b, "(async () => Boolean(await ("+expression+")))()") {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not seen after %s on\n%s", what, limit, Evaluate[string](b, `location.href + "\n" + document.body.innerText`))
		}
	}
}

// See waits until a text is on the page.
func (b *Tab) See(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.Await(text, "document.body?.innerText.includes("+b.quote(text)+")")
	}
}

// Visit opens a screen by its route.
func (b *Tab) Visit(route string) {
	b.t.Helper()
	b.Go(route)
	b.Await("the screen "+route, `document.querySelector("h1") !== null`)
}

// Go opens a route, which may be one without a screen.
func (b *Tab) Go(route string) {
	b.t.Helper()
	Evaluate[string](b, "location.hash = "+b.quote("#/"+strings.TrimPrefix(route, "#/")))
}

// Settle waits until a page has requested what it shows at first.
func (b *Tab) Settle() {
	b.t.Helper()
	b.Await("a page that has loaded", `document.querySelector("[aria-busy=true]") === null`)
	time.Sleep(500 * time.Millisecond)
}

// Size sets the size of the tab.
func (b *Tab) Size(width, height int64) {
	b.t.Helper()
	browser.Do(b.ctx, b.t, chromedp.EmulateViewport(width, height))
}

// Picture keeps a screenshot if SKIFF_PICTURES names a directory.
func (b *Tab) Picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SKIFF_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), browser.Run(b.ctx, b.t, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// Looks keeps screenshots in all sizes and colours, as Picture does.
func (b *Tab) Looks(name string) {
	b.t.Helper()
	if os.Getenv("SKIFF_PICTURES") == "" {
		return
	}
	for _, theme := range []string{"dark", "light"} {
		Evaluate[string](b, `document.documentElement.dataset.theme = `+b.quote(theme))
		for _, width := range []int64{360, 1600} {
			b.Size(width, 1000)
			b.Picture(fmt.Sprintf("%s-%s-%d", name, theme, width))
		}
	}
}

// Send sends a request as the dashboard's page does, and decodes the answer unless into
// is nil. The test fails if the request does.
func (b *Tab) Send(method, path, body string, into any) {
	b.t.Helper()
	parameters, err := json.Marshal([]string{method, path, body})
	if err != nil {
		b.t.Fatal(err)
	}
	answer := Evaluate[string](b, `(async ([method, path, body]) => {
		const session = await (await fetch("/api/session")).json()
		const response = await fetch(path, {method, body: body || null, headers: {"X-Skiff-CSRF": session.csrf}})
		return response.status + " " + await response.text()
	})(`+string(parameters)+")")
	status, content, _ := strings.Cut(answer, " ")
	if !strings.HasPrefix(status, "2") {
		b.t.Fatalf("%s %s %s: %s", method, path, body, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(content), into); err != nil {
		b.t.Fatalf("%s %s: %v: %s", method, path, err, content)
	}
}

// Exec runs a command in a pod over a WebSocket of the page, and returns its output.
func (b *Tab) Exec(namespace, pod string, command ...string) string {
	b.t.Helper()
	query := url.Values{"stdout": {"true"}, "stderr": {"true"}, "command": command}
	target, err := json.Marshal("/api/kubernetes/api/v1/namespaces/" + namespace + "/pods/" + pod + "/exec?" + query.Encode())
	if err != nil {
		b.t.Fatal(err)
	}
	// The first byte of a message is its channel (KEP-4006); 1 is the standard output.
	return strings.TrimSpace(Evaluate[string](b, `new Promise((done, failed) => {
		const socket = new WebSocket("ws://" + location.host + `+string(target)+`, ["v5.channel.k8s.io"])
		socket.binaryType = "arraybuffer"
		let output = ""
		socket.onmessage = (event) => {
			const bytes = new Uint8Array(event.data)
			if (bytes[0] === 1) output += new TextDecoder().decode(bytes.slice(1))
		}
		socket.onerror = () => failed(new Error("the WebSocket failed"))
		socket.onclose = () => done(output)
	})`))
}

// find is a function that returns the visible control with a name, which is its accessible
// name, the beginning of its text, or that of its label. While a dialog is open, it only
// finds controls of the dialog, as a user can only reach those.
const find = `(name) => {
	const within = [...document.querySelectorAll("dialog[open]")].pop() ?? document
	const text = (e) => (e.getAttribute("aria-label") ?? e.innerText ?? "").replace(/\s+/g, " ").trim()
	const labelled = (e) => [...(e.labels ?? [])].some((l) => l.innerText.trim().startsWith(name))
	const all = [...within.querySelectorAll("a, button, input, select, textarea, [role=button], [role=option], [contenteditable]")]
		.filter((e) => e.checkVisibility() && !e.disabled)
	return all.find((e) => text(e) === name) ?? all.find(labelled) ?? all.find((e) => text(e).startsWith(name))
}`

// Press clicks the control with a name, with the mouse, once it can be clicked.
func (b *Tab) Press(name string) {
	b.t.Helper()
	// It is found and measured at once: a control that is redrawn in between may be disabled then.
	b.Await("the control "+name, `(() => {
		const control = (`+find+`)(`+b.quote(name)+`)
		if (!control) return false
		control.scrollIntoView({block: "center", behavior: "instant"})
		const box = control.getBoundingClientRect()
		window.toPress = {x: box.x + box.width / 2, y: box.y + box.height / 2}
		return true
	})()`)
	at := Evaluate[struct{ X, Y float64 }](b, "window.toPress")
	browser.Do(b.ctx, b.t, chromedp.MouseClickXY(at.X, at.Y))
}

// Confirm clicks a button of the dialog that opens, and waits until the dialog has closed.
func (b *Tab) Confirm(name string) {
	b.t.Helper()
	b.Await("a dialog", `document.querySelector("dialog[open]")`)
	b.Press(name)
	b.Await("the end of the dialog", `!document.querySelector("dialog[open]")`)
}

// Choose selects an option of the control with a name.
func (b *Tab) Choose(name, option string) {
	b.t.Helper()
	b.Await("the option "+option+" of "+name, `[...((`+find+`)(`+b.quote(name)+`)?.options ?? [])].some((o) => o.text.startsWith(`+b.quote(option)+`))`)
	Evaluate[bool](b, `(() => {
		const control = (`+find+`)(`+b.quote(name)+`)
		control.value = [...control.options].find((o) => o.text.startsWith(`+b.quote(option)+`)).value
		return control.dispatchEvent(new Event("change", {bubbles: true}))
	})()`)
}

// Fill replaces the text of the control with a name.
func (b *Tab) Fill(name, text string) {
	b.t.Helper()
	b.Await("the field "+name, `(() => {
		const control = (`+find+`)(`+b.quote(name)+`)
		control?.focus()
		control?.select()
		return control && document.activeElement === control
	})()`)
	b.Type(text)
}

// Type presses the keys of a text.
func (b *Tab) Type(text string) {
	b.t.Helper()
	browser.Do(b.ctx, b.t, chromedp.KeyEvent(text))
}

// Moved waits until the first screen of another server is shown, and expects requests to it
// from then on.
func (b *Tab) Moved() {
	b.t.Helper()
	b.Await("another server", "location.origin !== "+b.quote(b.base)+` && document.querySelector("h1") !== null`)
	origin := Evaluate[string](b, "location.origin")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.base, b.outside = origin, nil
}

func (b *Tab) quote(text string) string {
	b.t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(quoted)
}
