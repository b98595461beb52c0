package assembly

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
	"runtime"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/recipe"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Lock is what apt resolved once. It is in the repository, so that every machine
// builds from the same packages until somebody updates it.
type Lock struct {
	// Requested are the names that were resolved.
	Requested []string           `json:"requested"`
	Packages  []manifest.Package `json:"packages"`
}

// neverNeeded are packages that others need only to be installed by dpkg, which
// does not happen here.
var neverNeeded = regexp.MustCompile(`^(perl.*|debconf|cdebconf|dpkg|tar|install-info|readline-common|gcc-.*-base|openssl|libpam.*|libnewt.*|init-system-helpers)$`)

// apt resolves and downloads Debian packages as an ordinary user. It trusts what
// the host's apt trusts: indexes signed by the distribution.
type apt struct {
	arch  string
	cache string // directory of downloaded archives
}

// options make apt behave as on a machine of another architecture, with indexes of
// its own, so that nothing changes on this one. There are none for this machine's
// architecture.
func (a apt) options() []string {
	if a.arch == runtime.GOARCH {
		return nil
	}
	var options []string
	for _, option := range []string{
		"APT::Architecture=" + a.arch, "APT::Architectures=" + a.arch, "APT::Sandbox::User=root",
		"Dir::State=" + a.state(), "Dir::State::status=" + filepath.Join(a.state(), "status"), "Dir::Cache=" + a.state(),
	} {
		options = append(options, "-o", option)
	}
	return options
}

// state is apt's directory for another architecture.
func (a apt) state() string { return filepath.Join(filepath.Dir(a.cache), "apt-"+a.arch) }

// refresh downloads the indexes of another architecture. Those of this machine's are
// the host's, which the user updates.
func (a apt) refresh(ctx context.Context) error {
	if a.arch == runtime.GOARCH {
		return nil
	}
	if err := os.MkdirAll(a.state(), 0o755); err != nil {
		return err
	}
	// No package is installed.
	if err := atomicfile.Write(filepath.Join(a.state(), "status"), nil, 0o644); err != nil {
		return err
	}
	_, err := a.run(ctx, "", "apt-get", "update", "-qq")
	return err
}

// run runs one of apt's programs in a directory and returns its output.
func (a apt) run(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	return run(ctx, dir, nil, program, append(a.options(), args...)...)
}

// lock returns the packages of the recipe: those of the lock file, or newly
// resolved ones if the recipe requests others or an update is wanted.
func (a apt) lock(ctx context.Context, path string, image recipe.Image, update bool) (Lock, error) {
	requested := []string{image.KernelPackage}
	for _, p := range image.Packages {
		requested = append(requested, p.Name)
	}
	slices.Sort(requested)
	var have Lock
	text, err := os.ReadFile(path)
	if err == nil && !update && json.Unmarshal(text, &have) == nil && slices.Equal(have.Requested, requested) {
		return have, nil
	}
	packages, err := a.resolve(ctx, requested)
	if err != nil {
		return Lock{}, err
	}
	have = Lock{Requested: requested, Packages: packages}
	text, err = json.MarshalIndent(have, "", "  ")
	if err != nil {
		return Lock{}, err
	}
	return have, atomicfile.Write(path, append(text, '\n'), 0o644)
}

func (a apt) resolve(ctx context.Context, requested []string) ([]manifest.Package, error) {
	arguments := []string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"}
	for _, name := range requested {
		arguments = append(arguments, name+":"+a.arch)
	}
	if err := a.refresh(ctx); err != nil {
		return nil, fmt.Errorf("update the package indexes for %s: %w", a.arch, err)
	}
	out, err := a.run(ctx, "", "apt-cache", arguments...)
	if err != nil {
		return nil, &Hint{fmt.Errorf("resolve packages for %s: %w", a.arch, err), "apt-get update"}
	}
	names := closure(out, a.arch)
	return a.locate(ctx, names)
}

// locate returns the packages that apt offers under these names, as in libc6:arm64.
func (a apt) locate(ctx context.Context, names []string) ([]manifest.Package, error) {
	out, err := a.run(ctx, "", "apt-get", append([]string{"download", "--print-uris", "-qq"}, names...)...)
	if err != nil {
		return nil, &Hint{fmt.Errorf("resolve packages: %w", err), "apt-get update"}
	}
	return parseURIs(out)
}

// closure returns the installable packages in the output of apt-cache depends. A
// line that begins in the first column is a package's name; virtual ones are in <>.
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
func parseURIs(out []byte) ([]manifest.Package, error) {
	var packages []manifest.Package
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
		packages = append(packages, manifest.Package{Name: parts[0], Version: parts[1], File: fields[1], SHA256: strings.TrimPrefix(fields[3], "SHA256:")})
	}
	slices.SortFunc(packages, func(x, y manifest.Package) int { return strings.Compare(x.Name, y.Name) })
	return packages, lines.Err()
}

// fetch downloads the archives that the cache lacks and checks every digest.
func (a apt) fetch(ctx context.Context, packages []manifest.Package) error {
	if err := os.MkdirAll(a.cache, 0o755); err != nil {
		return err
	}
	var missing []string
	for _, p := range packages {
		if checkDigest(filepath.Join(a.cache, p.File), p.SHA256) != nil {
			missing = append(missing, p.Name+":"+a.arch+"="+p.Version)
		}
	}
	if len(missing) > 0 {
		if err := a.refresh(ctx); err != nil {
			return fmt.Errorf("update the package indexes for %s: %w", a.arch, err)
		}
		if _, err := a.run(ctx, a.cache, "apt-get", append([]string{"download", "-qq"}, missing...)...); err != nil {
			return &Hint{fmt.Errorf("fetch packages: %w", err), "apt-get update, or lock the current versions with \"make image UPDATE=1\""}
		}
	}
	for _, p := range packages {
		if err := checkDigest(filepath.Join(a.cache, p.File), p.SHA256); err != nil {
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
		return fmt.Errorf("%s has SHA-256 %s, want %s", path, have, want)
	}
	return nil
}

// fileDigest returns the SHA-256 of a file in hex.
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
