// Command dashboard measures the dashboard in the browser against a real API server
// with thousands of pods: the time until the first rows are drawn, scrolling, and the
// memory of the page. The control plane runs as a local process. kubectl lists the same
// pods in the same run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/dashboard/served"
	"github.com/skiff-dev/skiff/test/ui/rig"
)

// Goals of the project.
const (
	goalFirstRowsSeconds  = 0.5
	goalFrameMilliseconds = 1000.0 / 60
	goalMemoryMiB         = 150
)

func main() {
	b := bench{}
	out := flag.String("out", "build/bench/dashboard.json", "output file for the figures")
	flag.StringVar(&b.kubectl, "kubectl", "build/test/bin/kubectl", "the program to compare with")
	flag.StringVar(&b.browser, "browser", "chromium", "the browser")
	flag.IntVar(&b.pods, "pods", 5000, "number of pods in the cluster")
	flag.IntVar(&b.opens, "opens", 5, "how many times to open the list")
	flag.Parse()
	figure.Main("dashboard", *out, b.run)
}

type bench struct {
	kubectl, browser string
	pods, opens      int
}

func (b *bench) run(ctx context.Context) ([]figure.Figure, error) {
	program, err := rig.Program(".")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "skiff-bench-dashboard-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := rig.Start(ctx, program, dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Stop() }()
	if err := s.Fill(ctx); err != nil {
		return nil, err
	}
	if err := s.Pods(ctx, "load", b.pods); err != nil {
		return nil, err
	}
	listed, err := b.list(ctx, s)
	if err != nil {
		return nil, err
	}
	dashboard, err := served.Dashboard(s)
	if err != nil {
		return nil, err
	}
	defer dashboard.Close()
	link, err := served.Link(ctx, dashboard, s, "")
	if err != nil {
		return nil, err
	}
	return b.browse(ctx, dir, link, listed)
}

// list measures how long kubectl takes to list all pods, as a median in seconds.
func (b *bench) list(ctx context.Context, s *rig.Server) (float64, error) {
	var all []float64
	for range b.opens {
		start := time.Now()
		out, err := exec.CommandContext(ctx, b.kubectl, "--kubeconfig", s.Kubeconfig, "get", "pods", "-A").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("list pods with kubectl: %w: %s", err, out[:min(len(out), 300)])
		}
		all = append(all, time.Since(start).Seconds())
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// rows opens the list in the page, waits until its rows are drawn, and returns how long
// that took in milliseconds.
const rows = `new Promise((done) => {
	const start = performance.now()
	location.hash = "#/list/pods"
	const look = () => document.body.innerText.includes("load-00") ? requestAnimationFrame(() => done(performance.now() - start)) : requestAnimationFrame(look)
	look()
})`

// frames scrolls the list for two seconds, and returns the times between frames in
// milliseconds.
const frames = `new Promise((done) => {
	const area = [...document.querySelectorAll("*")].filter((e) => e.scrollHeight > 5 * e.clientHeight && e.clientHeight > 100).pop() ?? document.scrollingElement
	const times = [], start = performance.now()
	let last = start
	const step = (now) => {
		times.push(now - last)
		last = now
		area.scrollTop += 60
		now - start < 2000 ? requestAnimationFrame(step) : done(times.slice(1))
	}
	requestAnimationFrame(step)
})`

// browse measures the page.
func (b *bench) browse(ctx context.Context, dir, link string, listed float64) ([]figure.Figure, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(b.browser), chromedp.Env("HOME="+dir),
		chromedp.Flag("no-sandbox", os.Geteuid() == 0), chromedp.Flag("no-proxy-server", true), chromedp.WindowSize(1280, 900))
	base, release := chromedp.NewExecAllocator(ctx, options...)
	defer release()
	page, cancel := chromedp.NewContext(base)
	defer cancel()
	if _, err := chromedp.Run(page, chromedp.Navigate(link)); err != nil {
		return nil, fmt.Errorf("open the dashboard: %w", err)
	}
	var opened []float64
	for range b.opens {
		// A new page each time, which knows no pods yet.
		if _, err := chromedp.Run(page, chromedp.Steps(chromedp.Evaluate[chromedp.Void](`location.hash = "#/rights"`), chromedp.Reload(), chromedp.Sleep(2*time.Second))); err != nil {
			return nil, fmt.Errorf("load the page again: %w", err)
		}
		took, err := chromedp.Run(page, chromedp.Evaluate[float64](rows, chromedp.EvalAwaitPromise))
		if err != nil {
			return nil, fmt.Errorf("open the list of pods: %w", err)
		}
		opened = append(opened, took/1000)
	}
	slices.Sort(opened)
	if _, err := chromedp.Run(page, chromedp.Sleep(2*time.Second)); err != nil { // until all pods are listed
		return nil, err
	}
	scrolled, err := chromedp.Run(page, chromedp.Evaluate[[]float64](frames, chromedp.EvalAwaitPromise))
	if err != nil || len(scrolled) == 0 {
		return nil, fmt.Errorf("scroll the list of pods: %w", err)
	}
	memory, err := chromedp.Run(page, chromedp.Evaluate[float64](`performance.memory.usedJSHeapSize / 1048576`))
	if err != nil {
		return nil, fmt.Errorf("read the memory of the page: %w", err)
	}
	slices.Sort(scrolled)
	return []figure.Figure{
		figure.New(fmt.Sprintf("first rows of %d pods, median", b.pods), "s", opened[len(opened)/2], goalFirstRowsSeconds).Against(listed),
		figure.New("a frame while scrolling, median", "ms", scrolled[len(scrolled)/2], goalFrameMilliseconds*1.05),
		figure.New("a frame while scrolling, p95", "ms", scrolled[len(scrolled)*95/100], 0),
		figure.New("script memory of the page", "MiB", memory, goalMemoryMiB),
	}, nil
}
