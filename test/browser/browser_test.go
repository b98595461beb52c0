package browser_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/skiff-dev/skiff/test/browser"
)

// serve serves a page whose body is the given HTML.
func serve(t *testing.T, body string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>A page</title>"+body)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestScriptsRunAndClicksArrive(t *testing.T) {
	server := serve(t, `<button>Add</button><output>0</output><script>
		document.querySelector("button").addEventListener("click", () => { document.querySelector("output").textContent++ })
	</script>`)
	ctx := browser.Start(t)
	button := chromedp.CSS("button")
	browser.Do(ctx, t, chromedp.Navigate(server.URL), chromedp.Click(button), chromedp.Click(button))
	title, count := browser.Run(ctx, t, chromedp.Title()), browser.Run(ctx, t, chromedp.Text(chromedp.CSS("output")))
	if title != "A page" || count != "2" {
		t.Errorf("title %q, count %q", title, count)
	}
}

// recorder is a test that keeps its errors.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestErrorOfAScriptFailsTheTest(t *testing.T) {
	server := serve(t, `<output>loaded</output><script>missing.value = 1</script>`)
	r := &recorder{TB: t}
	t.Cleanup(func() {
		if len(r.errors) != 1 || !strings.Contains(r.errors[0], "missing is not defined") {
			t.Errorf("errors: %q", r.errors)
		}
	})
	ctx := browser.Start(r)
	browser.Do(ctx, t, chromedp.Navigate(server.URL), chromedp.WaitVisible(chromedp.CSS("output")))
}
