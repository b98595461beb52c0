// Package template keeps clusters that had just become ready and that nobody had used, with the
// memory of their machines. A new cluster of the same shape continues with it instead of booting.
// A template exists if and only if its description does, which is written last and removed first,
// both durably.
package template

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// Format is the version of the templates that this program makes.
const Format = 1

// clusterName is the name of the cluster in a template.
const clusterName = "template"

// SnapshotName is the name of the snapshot of that cluster.
const SnapshotName = "ready"

const descriptionFile = "template.json"

// maxDescription limits the size of a description, in bytes.
const maxDescription = 4 << 20

// Errors of this package.
var (
	// ErrNone reports that the template does not exist.
	ErrNone = errors.New("no such template")
	// ErrDamaged reports a template that cannot be used.
	ErrDamaged = errors.New("it is damaged")
)

// Template describes one.
type Template struct {
	Format int `json:"format"`
	// Key identifies the shape of the cluster and the node image.
	Key     string    `json:"key"`
	Created time.Time `json:"created"`
	// Shape is what clusters have in common that begin with it.
	Shape cluster.Spec `json:"shape"`
	// Image is the digest of the node image, Kubernetes its version.
	Image      string `json:"image"`
	Kubernetes string `json:"kubernetes"`
	// Bytes is the space that it takes on disk.
	Bytes int64 `json:"bytes"`
	// Used is when a cluster began with it last, or Created.
	Used time.Time `json:"-"`
}

// Shape returns what of a cluster its machines depend on when they have just become ready. All
// else can be set when a cluster begins with the template.
func Shape(spec cluster.Spec) cluster.Spec {
	base := cluster.Default()
	spec.Name, spec.APIPort, spec.APIAddress = clusterName, 0, ""
	spec.Ports, spec.NodePorts, spec.HostPorts, spec.Peers = nil, false, nil, nil
	spec.Registry, spec.Records = cluster.Registry{Disabled: true}, base.Records
	spec.Records.Disabled = true
	spec.Addons, spec.Repair, spec.Pause, spec.Autoscaling = nil, cluster.RepairOff, base.Pause, base.Autoscaling
	spec.Environment = cluster.Environment{}
	return spec
}

// Key returns the key of the template for clusters with a configuration, which has the version
// of Kubernetes, whose machines have the node image with a digest.
func Key(spec cluster.Spec, image string) (string, error) {
	content, err := json.Marshal(struct {
		Format int
		Image  string
		Shape  cluster.Spec
	}{Format, image, Shape(spec)})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6]), nil
}

// Unsuitable returns in one clause why clusters with a configuration have no template; empty if
// nothing in it is against that.
func Unsuitable(spec cluster.Spec) string {
	switch {
	case len(spec.Mounts) > 0:
		return "its machines share folders with the host, so their memory is not kept"
	case spec.KubernetesVersion == cluster.WithoutReload:
		return fmt.Sprintf("Kubernetes %s cannot replace its authority while it runs", cluster.WithoutReload)
	case slices.ContainsFunc(spec.Nodes, func(g cluster.Group) bool { return g.Arch != "" }):
		return "it has nodes of another architecture"
	}
	return ""
}

// Source returns the directory of the cluster whose snapshot an origin names. The error wraps
// ErrNone for a template whose key is none.
func Source(h home.Home, origin cluster.Origin) (home.Cluster, error) {
	switch {
	case origin.Template == "":
		return h.Cluster(origin.Cluster), nil
	case !validKey.MatchString(origin.Template):
		return "", fmt.Errorf("%q: %w", origin.Template, ErrNone)
	}
	return Dir(h, origin.Template), nil
}

// Dir returns the directory of the cluster in a template.
func Dir(h home.Home, key string) home.Cluster { return h.Template(key).Cluster(clusterName) }

// validKey matches what Key returns.
var validKey = regexp.MustCompile(`^[0-9a-f]{12}$`)

// Read returns a template. The error wraps ErrNone or ErrDamaged.
func Read(h home.Home, key string) (Template, error) {
	var t Template
	if !validKey.MatchString(key) {
		return t, fmt.Errorf("%q: %w", key, ErrNone)
	}
	path := description(h, key)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, fmt.Errorf("%q: %w", key, ErrNone)
	}
	if err == nil && info.Size() > maxDescription {
		return t, fmt.Errorf("template %s: %w: its description is too large", key, ErrDamaged)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return t, fmt.Errorf("read the template %s: %w", key, err)
	}
	if err := json.Unmarshal(content, &t); err != nil || t.Key != key || t.Format != Format {
		return t, fmt.Errorf("template %s: %w", key, ErrDamaged)
	}
	t.Used = info.ModTime().UTC()
	return t, nil
}

// Origin returns what clusters that begin with the template are made from, and the state of the
// cluster in it. The error wraps ErrDamaged or snapshot.ErrDamaged if the template cannot be used.
func (t Template) Origin(h home.Home) (cluster.Origin, cluster.State, error) {
	dir := Dir(h, t.Key)
	m, err := snapshot.Read(dir, SnapshotName)
	if errors.Is(err, snapshot.ErrNone) {
		err = fmt.Errorf("template %s: %w: it has no machines", t.Key, ErrDamaged)
	}
	if err != nil {
		return cluster.Origin{}, cluster.State{}, err
	}
	then, err := snapshot.State(dir, m)
	return cluster.Origin{Template: t.Key, Cluster: clusterName, Snapshot: SnapshotName, Taken: m.Created, Shared: true}, then, err
}

// Expired reports whether the memory in the template is too old to be used.
func (t Template) Expired(now time.Time) bool { return now.Sub(t.Created) > saved.MaxAge }

// Touch records that a cluster begins with the template of a key.
func Touch(h home.Home, key string, now time.Time) error {
	return os.Chtimes(description(h, key), time.Time{}, now)
}

// List returns the templates, the one used last first, and one error for each that is damaged.
func List(h home.Home) (all []Template, damaged []error, err error) {
	keys, err := keys(h)
	if err != nil {
		return nil, nil, err
	}
	for _, key := range keys {
		t, err := Read(h, key)
		switch {
		case errors.Is(err, ErrNone): // unfinished, or removed meanwhile
		case err != nil:
			damaged = append(damaged, err)
		default:
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b Template) int { return b.Used.Compare(a.Used) })
	return all, damaged, nil
}

func keys(h home.Home) ([]string, error) {
	entries, err := os.ReadDir(h.Templates())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", err)
	}
	var keys []string
	for _, entry := range entries {
		if entry.IsDir() && validKey.MatchString(entry.Name()) {
			keys = append(keys, entry.Name())
		}
	}
	return keys, nil
}

func description(h home.Home, key string) string {
	return filepath.Join(string(h.Template(key)), descriptionFile)
}

// Complete makes a template of the cluster below its directory, which has the snapshot and no
// process, and removes what else there is of that cluster. t needs no format, time or size. The
// caller holds the lock of the templates.
func Complete(h home.Home, t Template, now time.Time) (Template, error) {
	dir := Dir(h, t.Key)
	if _, err := snapshot.Read(dir, SnapshotName); err != nil {
		return t, err
	}
	if err := errors.Join(keepOnly(string(dir), dir.Snapshots(), dir.PKI()), keepOnly(string(h.Template(t.Key)), h.Template(t.Key).Clusters())); err != nil {
		return t, fmt.Errorf("complete the template: %w", err)
	}
	t.Format, t.Created, t.Bytes = Format, now.UTC(), records.Size(string(dir))
	t.Used = t.Created
	content, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return t, err
	}
	for _, folder := range []string{string(dir), h.Template(t.Key).Clusters(), string(h.Template(t.Key)), h.Templates()} {
		if err := atomicfile.SyncDir(folder); err != nil {
			return t, fmt.Errorf("complete the template: %w", err)
		}
	}
	return t, atomicfile.Write(description(h, t.Key), append(content, '\n'), 0o600)
}

// keepOnly removes everything in a directory but the given paths.
func keepOnly(dir string, paths ...string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if path := filepath.Join(dir, entry.Name()); !slices.Contains(paths, path) {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// Remove removes a template, or what is left of one. The error wraps ErrNone if there is nothing,
// and home.ErrLocked if a cluster is being made from it.
func Remove(h home.Home, key string) error {
	root := string(h.Template(key))
	if !validKey.MatchString(key) {
		return fmt.Errorf("%q: %w", key, ErrNone)
	}
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q: %w", key, ErrNone)
	}
	if _, err := os.Lstat(description(h, key)); err != nil && Dir(h, key).Held() {
		return fmt.Errorf("remove the template %s, which is being made: %w", key, home.ErrLocked)
	}
	lock, err := Dir(h, key).AcquireSnapshots()
	if err != nil {
		return err
	}
	err = os.Remove(description(h, key))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = errors.Join(atomicfile.SyncDir(root), os.RemoveAll(root))
	}
	if err := errors.Join(err, lock.Release()); err != nil {
		return fmt.Errorf("remove the template %s: %w", key, err)
	}
	return nil
}
