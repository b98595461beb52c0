// Package web embeds the front end of the dashboard in the browser; package server
// serves it. The sources of the front end are in app, and the program that bundles them
// is in build.
package web

import (
	"embed"
	"io/fs"
)

// The directory is empty in a checkout without a built front end.
//
//go:embed all:dist
var dist embed.FS

// Index is the page that loads everything else. Nonce is its placeholder for the nonce
// of a response.
const (
	Index = "index.html"
	Nonce = "CSP_NONCE"
)

// Suffix is the end of every built file's name: all files are compressed with gzip.
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
