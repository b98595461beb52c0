// Module build bundles the front end of the dashboard. It is a module of its own, so
// that the bundler is compiled only where the front end is built.
module github.com/skiff-dev/skiff/web/build

go 1.26.0

require github.com/evanw/esbuild v0.28.2

require golang.org/x/sys v0.0.0-20220715151400-c0bba94af5f8 // indirect
