package trust

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/vm/edge/authority"
)

// Of returns what is installed for an authority. Apple's tools name certificates by
// their SHA-1 sum.
func Of(a *authority.Authority) Certificate {
	sum := sha1.Sum(a.Certificate().Raw)
	return Certificate{File: a.File(), Fingerprint: a.Fingerprint(), SHA1: strings.ToUpper(hex.EncodeToString(sum[:]))}
}

// Look finds out what stores this host has. home is the user's home directory.
func Look(home string) Host {
	h := Host{System: runtime.GOOS}
	for _, dir := range systemDirs() {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			h.Dirs = append(h.Dirs, dir)
		}
	}
	for _, program := range programs() {
		if _, err := exec.LookPath(program); err == nil {
			h.Programs = append(h.Programs, program)
		}
	}
	h.Databases = databases(home, firefoxDatabases())
	chromium := databases(home, chromiumDatabases())
	h.Databases = append(h.Databases, chromium...)
	if h.System == "linux" && len(chromium) == 0 && installed(chromiumPrograms()) {
		h.NewDatabase = filepath.Join(home, sharedDatabase)
	}
	return h
}

// sharedDatabase is the directory, below the home directory, in which all versions of
// Chromium look first. Since version 146, they create their database in the user's data
// directory instead.
const sharedDatabase = ".pki/nssdb"

// chromiumDatabases are where Chromium has its NSS database, below the home directory.
func chromiumDatabases() []string {
	return []string{
		sharedDatabase, ".local/share/pki/nssdb",
		"snap/chromium/current/" + sharedDatabase, "snap/chromium/current/.local/share/pki/nssdb", ".var/app/*/data/pki/nssdb",
	}
}

func chromiumPrograms() []string {
	return []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "brave-browser", "microsoft-edge"}
}

// firefoxDatabases are where Firefox has its NSS databases, below the home directory.
func firefoxDatabases() []string {
	return []string{
		".mozilla/firefox/*", ".config/mozilla/firefox/*", "snap/firefox/common/.mozilla/firefox/*",
		".var/app/org.mozilla.firefox/.mozilla/firefox/*", "Library/Application Support/Firefox/Profiles/*",
	}
}

// installed reports whether one of the programs is installed.
func installed(programs []string) bool {
	return slices.ContainsFunc(programs, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	})
}

// databases returns the NSS databases below a home directory that match one of the
// patterns, sorted.
func databases(home string, patterns []string) []string {
	var all []string
	for _, pattern := range patterns {
		// Only a malformed pattern is an error.
		found, _ := filepath.Glob(filepath.Join(home, pattern, "cert9.db"))
		for _, file := range found {
			all = append(all, filepath.Dir(file))
		}
	}
	slices.Sort(all)
	return all
}

// Runner runs the commands of stores.
type Runner struct {
	// Root is set if this process may change everything. Otherwise commands that need
	// root run through sudo, which may ask for the user's password.
	Root bool
	// In and Err are the user's terminal, for sudo.
	In  io.Reader
	Err io.Writer
}

// Installed reports whether a store trusts the certificate.
func Installed(ctx context.Context, s Store, c *x509.Certificate) (bool, error) {
	if s.Missing != "" {
		return false, nil
	}
	if s.File != "" {
		content, err := os.ReadFile(s.File)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return contains(content, c), err
	}
	var out, failure bytes.Buffer
	command := exec.CommandContext(ctx, s.Present[0], s.Present[1:]...)
	command.Stdout, command.Stderr = &out, &failure
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return false, nil // no certificate has that name
	}
	if err != nil {
		return false, fmt.Errorf("look into the %s: %w", s.Name, err)
	}
	return contains(out.Bytes(), c), nil
}

// contains reports whether a certificate is among those in PEM.
func contains(content []byte, c *x509.Certificate) bool {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if bytes.Equal(block.Bytes, c.Raw) {
			return true
		}
	}
	return false
}

// Run runs the commands that change a store.
func (r Runner) Run(ctx context.Context, s Store, commands [][]string) error {
	for _, line := range commands {
		if s.Root && !r.Root {
			if _, err := exec.LookPath("sudo"); err != nil {
				return fmt.Errorf("change the %s: sudo is not installed: run this command as root", s.Name)
			}
			line = slices.Concat([]string{"sudo", "--"}, line)
		}
		var output bytes.Buffer
		command := exec.CommandContext(ctx, line[0], line[1:]...)
		command.Stdin, command.Stdout, command.Stderr = r.In, &output, &output
		if s.Root && !r.Root {
			command.Stderr = io.MultiWriter(r.Err, &output) // sudo's question
		}
		if err := command.Run(); err != nil {
			return fmt.Errorf("change the %s: %s: %w: %s", s.Name, strings.Join(line, " "), err, strings.TrimSpace(output.String()))
		}
	}
	return nil
}
