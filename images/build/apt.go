package build

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/images/recipe"
)

// Deb is one Debian package at one version.
type Deb struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// File is its archive's name in the cache.
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// Lock is what apt resolved once. It is used until the recipe asks for other
// packages or the person asks for newer ones, so that an "apt-get update"
// alone changes no image.
type Lock struct {
	// Asked is what was resolved.
	Asked []string `json:"asked"`
	Debs  []Deb    `json:"debs"`
}

// neverNeeded are packages that others depend on for their own installation,
// which does not happen here.
var neverNeeded = regexp.MustCompile(`^(perl.*|debconf|cdebconf|dpkg|tar|install-info|readline-common|gcc-.*-base|openssl|libpam.*|libnewt.*|init-system-helpers)$`)

// apt resolves and fetches Debian packages as an ordinary user.
type apt struct {
	arch  string
	cache string // of archives
}

// lock returns the packages of the recipe: those of the lock file, or newly
// resolved ones.
func (a apt) lock(ctx context.Context, path string, image recipe.Image, update bool) (Lock, error) {
	asked := []string{image.KernelPackage}
	for _, p := range image.Packages {
		asked = append(asked, p.Name)
	}
	slices.Sort(asked)
	var have Lock
	text, err := os.ReadFile(path)
	if err == nil && !update && json.Unmarshal(text, &have) == nil && slices.Equal(have.Asked, asked) {
		return have, nil
	}
	debs, err := a.resolve(ctx, asked)
	if err != nil {
		return Lock{}, err
	}
	have = Lock{Asked: asked, Debs: debs}
	text, err = json.MarshalIndent(have, "", "  ")
	if err != nil {
		return Lock{}, err
	}
	return have, writeFile(path, append(text, '\n'), 0o644)
}

func (a apt) resolve(ctx context.Context, asked []string) ([]Deb, error) {
	arguments := []string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"}
	for _, name := range asked {
		arguments = append(arguments, name+":"+a.arch)
	}
	out, err := run(ctx, "", nil, "apt-cache", arguments...)
	if err != nil {
		return nil, &Hint{fmt.Errorf("resolve packages for %s: %w", a.arch, err), "dpkg --add-architecture " + a.arch + " && apt-get update"}
	}
	names := closure(out, a.arch)
	out, err = run(ctx, "", nil, "apt-get", append([]string{"download", "--print-uris", "-qq"}, names...)...)
	if err != nil {
		return nil, &Hint{fmt.Errorf("resolve packages: %w", err), "apt-get update"}
	}
	return parseURIs(out)
}

// closure are the package names of apt-cache depends that can be installed: a
// line that begins in the first column names one, virtual ones in <>.
func closure(out []byte, arch string) []string {
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == ' ' || line[0] == '<' || line[0] == '|' {
			continue
		}
		name, _, _ := strings.Cut(line, ":")
		if !neverNeeded.MatchString(name) {
			names = append(names, name+":"+arch)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// parseURIs reads lines of "'URI' FILE SIZE SHA256:SUM".
func parseURIs(out []byte) ([]Deb, error) {
	var debs []Deb
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 4 || !strings.HasPrefix(fields[3], "SHA256:") {
			return nil, fmt.Errorf("apt-get --print-uris: unexpected line %q", lines.Text())
		}
		file, err := url.PathUnescape(fields[1])
		parts := strings.Split(file, "_")
		if err != nil || len(parts) != 3 {
			return nil, fmt.Errorf("apt-get --print-uris: unexpected file name %q", fields[1])
		}
		debs = append(debs, Deb{Name: parts[0], Version: parts[1], File: fields[1], SHA256: strings.TrimPrefix(fields[3], "SHA256:")})
	}
	slices.SortFunc(debs, func(x, y Deb) int { return strings.Compare(x.Name, y.Name) })
	return debs, lines.Err()
}

// fetch downloads what the cache lacks and checks every archive's digest.
func (a apt) fetch(ctx context.Context, debs []Deb) error {
	if err := os.MkdirAll(a.cache, 0o755); err != nil {
		return err
	}
	var missing []string
	for _, deb := range debs {
		if checkDigest(filepath.Join(a.cache, deb.File), deb.SHA256) != nil {
			missing = append(missing, deb.Name+":"+a.arch+"="+deb.Version)
		}
	}
	if len(missing) > 0 {
		if _, err := run(ctx, a.cache, nil, "apt-get", append([]string{"download", "-qq"}, missing...)...); err != nil {
			return &Hint{fmt.Errorf("fetch packages: %w", err), "apt-get update, then build with -update: a locked version may be gone from the mirror"}
		}
	}
	for _, deb := range debs {
		if err := checkDigest(filepath.Join(a.cache, deb.File), deb.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func checkDigest(path, want string) error {
	have, err := fileDigest(path)
	if err != nil {
		return err
	}
	if have != want {
		return fmt.Errorf("%s has digest %s, wanted %s", path, have, want)
	}
	return nil
}

// fileDigest is the SHA-256 of a file in hex.
func fileDigest(path string) (digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
