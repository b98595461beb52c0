// Package browser starts a real browser engine for tests of web pages: Chromium
// without a window and with an empty profile, which requests only what the test opens.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Limits for machines whose CPUs are all busy.
const (
	startLimit = time.Minute
	runLimit   = 30 * time.Second
	stopLimit  = 10 * time.Second
)

// programs are the names of browsers that chromedp controls.
func programs() []string {
	return []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
		"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	}
}

// Start starts a browser and returns the context of its first tab, for Do and Run, and
// for those of chromedp. The browser ends with the test, which fails if a script did
// not catch an error. Without a browser on the machine, the test is skipped.
func Start(t testing.TB) context.Context {
	t.Helper()
	return StartAt(t, t.TempDir())
}

// StartAt is Start with a home directory. On Linux, the browser trusts the authorities in
// its NSS database.
func StartAt(t testing.TB, home string) context.Context {
	t.Helper()
	program := find()
	if program == "" {
		t.Skip("no browser is installed: apt-get install chromium")
	}
	base, release := chromedp.NewExecAllocator(context.Background(), options(program, home)...)
	ctx, cancel := chromedp.NewContext(base)
	var thrown faults
	t.Cleanup(func() {
		limited, stop := context.WithTimeout(ctx, stopLimit)
		defer stop()
		if err := chromedp.Cancel(limited); err != nil {
			t.Errorf("stop the browser: %v", err)
		}
		cancel()
		release()
		for _, text := range thrown.list() {
			t.Errorf("a script failed: %s", text)
		}
	})
	// Not limited here: the browser ends with the context of the first call.
	if err := chromedp.Listen(ctx, thrown.add); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return ctx
}

// Do runs actions in a tab. If one fails or they take too long together, the test fails
// and shows the page.
func Do(ctx context.Context, t testing.TB, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	Run(ctx, t, chromedp.Steps(actions...))
}

// Run is Do for one action, whose value it returns.
func Run[T any](ctx context.Context, t testing.TB, action chromedp.Action[T]) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	value, err := chromedp.Run(limited, action)
	if err != nil {
		t.Fatalf("the browser: %v\n%s", err, page(ctx))
	}
	return value
}

// page returns the address and the text of what a tab shows.
func page(ctx context.Context) string {
	limited, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	text, err := chromedp.Run(limited, chromedp.Evaluate[string](`location.href + "\n" + document.documentElement.innerText`))
	if err != nil {
		return fmt.Sprintf("the page cannot be read: %v", err)
	}
	return text
}

// find returns the program of a browser; "" if there is none.
func find() string {
	for _, name := range programs() {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func options(program, home string) []chromedp.ExecAllocatorOption {
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.WSURLReadTimeout(startLimit),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, ".config"), "XDG_CACHE_HOME="+filepath.Join(home, ".cache"),
			"XDG_DATA_HOME="+filepath.Join(home, ".local/share")),
		chromedp.Flag("no-sandbox", os.Geteuid() == 0), // Chromium refuses to sandbox for root
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-crash-reporter", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.WindowSize(1280, 900),
	)
}

// faults collects the errors that scripts throw.
type faults struct {
	mu    sync.Mutex // guards texts
	texts []string
}

func (f *faults) add(event any) {
	thrown, ok := event.(*runtime.EventExceptionThrown)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text := thrown.ExceptionDetails.Text
	if object := thrown.ExceptionDetails.Exception; object != nil {
		text += ": " + object.Description
	}
	f.texts = append(f.texts, text)
}

func (f *faults) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.texts
}
