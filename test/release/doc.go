// Package release tests a release as its users get it: install.sh and the Debian
// package are run in root directories that hold neither Go nor anything else beyond a
// few named programs, and what they installed starts a cluster of sandboxes there.
//
// The tests only run with SKIFF_RELEASE, the directory of a release for this machine,
// and as root. `scripts/test.sh release` makes a snapshot release and sets it.
package release
