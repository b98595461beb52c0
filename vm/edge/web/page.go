package web

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// page is an answer of the proxy itself: HTML for browsers, text for everybody else,
// and a status for gRPC.
type page struct {
	status int
	title  string
	// lines explain the title, a sentence or a command each.
	lines []string
	// links are URLs that the reader may have meant.
	links []string
	// waits is set if the same request may soon succeed.
	waits bool
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
{{if .Waits}}<meta http-equiv="refresh" content="2">
{{end}}<title>{{.Title}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:4em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.3em}li{font-family:ui-monospace,monospace}footer{margin-top:3em;color:#777;font-size:.85em}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}</style></head>
<body><h1>{{.Title}}</h1>
{{range .Lines}}<p>{{.}}</p>
{{end}}{{if .Links}}<ul>{{range .Links}}<li><a href="{{.}}">{{.}}</a></li>
{{end}}</ul>
{{end}}<footer>{{.Status}} from Skiff{{if .Waits}}. This page reloads by itself.{{end}}</footer></body></html>
`))

// maxLinks bounds the links of a page.
const maxLinks = 100

// serve answers a request with the page.
func (p page) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Server", "skiff")
	if isGRPC(r) {
		p.serveGRPC(w)
		return
	}
	if p.waits {
		header.Set("Retry-After", "2")
	}
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	links := p.links
	if len(links) > maxLinks {
		links = append(slices.Clone(links[:maxLinks]), fmt.Sprintf("and %d more", len(p.links)-maxLinks))
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		header.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.status)
		text := strings.Join(slices.Concat([]string{p.title}, p.lines, links), "\n")
		_, _ = fmt.Fprintln(w, text) // the client may be gone
		return
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	w.WriteHeader(p.status)
	_ = pageTemplate.Execute(w, struct {
		Status       int
		Title        string
		Lines, Links []string
		Waits        bool
	}{p.status, p.title, p.lines, links, p.waits})
}
