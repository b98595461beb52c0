// Command pictures draws the main screens of the dashboard in the browser as PNG files for
// the documentation, from a running cluster with the objects of test/ui/testdata/shop.yaml.
// test/pictures.sh starts one.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// shot is a picture of a screen.
type shot struct {
	name, route   string
	width, height int64 // in pixels; the width of all others if 0
}

// webPod is replaced by the name of a pod of the deployment web.
const webPod = "POD"

var shots = []shot{
	{"overview", "overview", 0, 860}, {"pod", "object/pods/shop/" + webPod, 0, 860}, {"logs", "logs?namespace=shop&text=error", 0, 560}, {"map", "map", 1500, 700},
}

// settle is how long a screen may need to show all data.
const settle = 4 * time.Second

func main() {
	var c camera
	flag.StringVar(&c.out, "out", "docs/images", "directory for the pictures")
	flag.StringVar(&c.cluster, "cluster", "dev", "the cluster to show")
	flag.StringVar(&c.skiff, "skiff", "bin/skiff", "the skiff program")
	flag.StringVar(&c.theme, "theme", "dark", "light or dark")
	flag.Int64Var(&c.width, "width", 1280, "width of the window in pixels")
	more := flag.String("more", "", "routes of further screens, separated by spaces")
	flag.Parse()
	for _, route := range strings.Fields(*more) {
		shots = append(shots, shot{strings.NewReplacer("/", "-", "?", "-", "_", "").Replace(route), route, 0, 1000})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := c.shoot(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

type camera struct {
	out, cluster, skiff, theme string
	width                      int64
}

// shoot draws all pictures.
func (c camera) shoot(ctx context.Context) error {
	content, err := exec.CommandContext(ctx, c.skiff, "dashboard", c.cluster, "--no-browser", "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("ask for a link: %w", err)
	}
	var link daemonapi.DashboardLink
	if err := json.Unmarshal(content, &link); err != nil {
		return fmt.Errorf("read the link: %w", err)
	}
	home, err := os.MkdirTemp("", "skiff-pictures-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(home) }()
	base, release := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.Env("HOME="+home),
		chromedp.Flag("no-sandbox", os.Geteuid() == 0), chromedp.Flag("no-proxy-server", true))...)
	defer release()
	page, cancel := chromedp.NewContext(base)
	defer cancel()
	if _, err := chromedp.Run(page, chromedp.Steps(chromedp.Navigate(link.URL), chromedp.Sleep(settle))); err != nil {
		return fmt.Errorf("open the dashboard: %w", err)
	}
	// Graphs keep the colours that they were drawn with.
	theme := fmt.Sprintf(`document.documentElement.dataset.theme = %q; location.hash = "#/rights"`, c.theme)
	if _, err := chromedp.Run(page, chromedp.Steps(chromedp.Evaluate[chromedp.Void](theme), chromedp.Sleep(settle))); err != nil {
		return fmt.Errorf("choose the theme: %w", err)
	}
	pod, err := chromedp.Run(page, chromedp.Evaluate[string](`fetch("/api/kubernetes/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb").then((r) => r.json()).then((l) => l.items[0].metadata.name)`, chromedp.EvalAwaitPromise))
	if err != nil {
		return fmt.Errorf("find a pod: %w", err)
	}
	for _, s := range shots {
		route := fmt.Sprintf("#/%s", strings.ReplaceAll(s.route, webPod, pod))
		show := fmt.Sprintf(`location.hash = %q`, route)
		if _, err := chromedp.Run(page, chromedp.Steps(chromedp.EmulateViewport(cmp.Or(s.width, c.width), s.height), chromedp.Evaluate[chromedp.Void](show), chromedp.Sleep(settle))); err != nil {
			return fmt.Errorf("open %s: %w", route, err)
		}
		picture, err := chromedp.Run(page, chromedp.CaptureScreenshot())
		if err != nil {
			return fmt.Errorf("draw %s: %w", route, err)
		}
		if picture, err = smaller(picture); err != nil {
			return fmt.Errorf("draw %s: %w", route, err)
		}
		if err := os.WriteFile(filepath.Join(c.out, "dashboard-"+s.name+".png"), picture, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// different is the least distance between two colours of a palette: rare colours, such as
// those of a button, would be missing among many that nearly look the same.
const different = 3 * 0x500 * 0x500

// smaller returns a PNG file with at most 256 colours of another one.
func smaller(content []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	area := from.Bounds()
	count := map[color.Color]int{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			count[from.At(x, y)]++
		}
	}
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] }) {
		if len(palette) < 256 && (len(palette) == 0 || distance(c, palette.Convert(c)) > different) {
			palette = append(palette, c)
		}
	}
	nearest := map[color.Color]uint8{}
	to := image.NewPaletted(area, palette)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			at := from.At(x, y)
			index, known := nearest[at]
			if !known {
				index = uint8(palette.Index(at)) //nolint:gosec // there are at most 256
				nearest[at] = index
			}
			to.SetColorIndex(x, y, index)
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

// distance returns the sum of the squares of the differences of two colours, of which each
// channel has 16 bits.
func distance(a, b color.Color) int {
	r1, g1, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	square := func(x, y uint32) int { return (int(x) - int(y)) * (int(x) - int(y)) }
	return square(r1, r2) + square(g1, g2) + square(b1, b2)
}
