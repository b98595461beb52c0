// Package web is the dashboard in the browser. It holds the front end as it was
// built into this program; package server serves it. The sources of the front end
// are in app, and the program that bundles them is in build.
package web

import (
	"embed"
	"io/fs"
)

// A checkout in which the front end was not built has an empty directory.
//
//go:embed all:dist
var dist embed.FS

// Index is the page that loads everything else. Nonce stands in it where the nonce
// of a response belongs.
const (
	Index = "index.html"
	Nonce = "CSP_NONCE"
)

// Suffix ends the name of every built file: all are compressed with gzip.
const Suffix = ".gz"

// Assets returns the built files: Index, and assets/NAME with a hash in the name. It
// is empty if the front end was not built into this program.
func Assets() fs.FS {
	assets, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the path is valid
	}
	return assets
}
