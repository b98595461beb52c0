// Package trust makes the host's programs trust the user's local certificate
// authority, and removes it again. What must be run is computed from what the host
// has; only the system's store on Linux needs root.
package trust

import (
	"path/filepath"
	"slices"
)

// Host is what the stores depend on.
type Host struct {
	// System is the operating system, as runtime.GOOS.
	System string
	// Dirs are the directories of system stores that exist.
	Dirs []string
	// Databases are the directories of NSS databases: of Firefox, and of Chromium on
	// Linux.
	Databases []string
	// NewDatabase is the directory of the database that Chromium on Linux uses if it
	// exists; empty if Chromium is not installed or has one already.
	NewDatabase string
	// Programs are the programs that stores need and that are installed.
	Programs []string
}

// Store is a place where certificates are trusted, with the commands that change it.
type Store struct {
	// Name is for users.
	Name string
	// Root is set if Install and Remove need root.
	Root            bool
	Install, Remove [][]string
	// Present succeeds if a certificate of the name is in the store, and prints it in
	// PEM. If it is empty, the certificate is the file File.
	Present []string
	File    string
	// Missing is the program without which the store cannot be changed; empty if it is
	// there.
	Missing string
}

// Certificate is what is installed.
type Certificate struct {
	// File is the certificate in PEM.
	File string
	// Fingerprint makes its names unique.
	Fingerprint string
	// SHA1 is the SHA-1 sum that Apple's tools want, in hexadecimal.
	SHA1 string
}

// name is how the stores call the certificate.
func (c Certificate) name() string { return "skiff-local-ca-" + c.Fingerprint }

// systemStore is where a family of Linux distributions keeps the authorities that an
// administrator adds.
type systemStore struct {
	name, dir, extension string
	update               []string
	afterRemove          []string // instead of update, if it is not empty
}

// systemStores are tried in order.
func systemStores() []systemStore {
	return []systemStore{
		{"system (Debian, Ubuntu, Alpine)", "/usr/local/share/ca-certificates", ".crt", []string{"update-ca-certificates"}, []string{"update-ca-certificates", "--fresh"}},
		{"system (Fedora, RHEL)", "/etc/pki/ca-trust/source/anchors", ".pem", []string{"update-ca-trust", "extract"}, nil},
		{"system (Arch)", "/etc/ca-certificates/trust-source/anchors", ".crt", []string{"update-ca-trust"}, nil},
		{"system (openSUSE)", "/etc/pki/trust/anchors", ".pem", []string{"update-ca-certificates"}, nil},
	}
}

const (
	certutil = "certutil"
	security = "security"
)

// systemDirs are the directories of known system stores.
func systemDirs() []string {
	var all []string
	for _, s := range systemStores() {
		all = append(all, s.dir)
	}
	return all
}

// programs are the programs that stores need.
func programs() []string {
	all := []string{certutil, security}
	for _, s := range systemStores() {
		if !slices.Contains(all, s.update[0]) {
			all = append(all, s.update[0])
		}
	}
	return all
}

// Plan returns the stores of a host.
func Plan(h Host, c Certificate) []Store {
	var stores []Store
	if h.System == "darwin" {
		stores = append(stores, darwin(h, c))
	} else if store, ok := linux(h, c); ok {
		stores = append(stores, store)
	}
	for _, dir := range h.Databases {
		stores = append(stores, h.database(dir, c))
	}
	if h.NewDatabase != "" {
		store := h.database(h.NewDatabase, c)
		store.Install = append([][]string{
			{"mkdir", "-p", "-m", "0700", h.NewDatabase},
			{certutil, "-N", "-d", "sql:" + h.NewDatabase, "--empty-password"},
		}, store.Install...)
		stores = append(stores, store)
	}
	return stores
}

// database returns the NSS database in a directory.
func (h Host) database(dir string, c Certificate) Store {
	database := "sql:" + dir
	return Store{
		Name: "NSS database " + dir, Missing: h.missing(certutil),
		Install: [][]string{{certutil, "-A", "-d", database, "-t", "C,,", "-n", c.name(), "-i", c.File}},
		Remove:  [][]string{{certutil, "-D", "-d", database, "-n", c.name()}},
		Present: []string{certutil, "-L", "-d", database, "-n", c.name(), "-a"},
	}
}

func (h Host) missing(program string) string {
	if slices.Contains(h.Programs, program) {
		return ""
	}
	return program
}

// linux returns the system's store.
func linux(h Host, c Certificate) (Store, bool) {
	for _, s := range systemStores() {
		if !slices.Contains(h.Dirs, s.dir) || h.missing(s.update[0]) != "" {
			continue
		}
		file := filepath.Join(s.dir, c.name()+s.extension)
		after := s.afterRemove
		if after == nil {
			after = s.update
		}
		return Store{
			Name: s.name, Root: true, File: file,
			Install: [][]string{{"install", "-m", "0644", c.File, file}, s.update},
			Remove:  [][]string{{"rm", "-f", file}, after},
		}, true
	}
	return Store{}, false
}

// darwin returns the user's store on macOS, which asks the user before it changes what
// is trusted.
func darwin(h Host, c Certificate) Store {
	return Store{
		Name: "user (macOS)", Missing: h.missing(security),
		Install: [][]string{{security, "add-trusted-cert", "-r", "trustRoot", c.File}},
		Remove:  [][]string{{security, "remove-trusted-cert", c.File}, {security, "delete-certificate", "-Z", c.SHA1}},
		Present: []string{security, "find-certificate", "-a", "-p"},
	}
}
