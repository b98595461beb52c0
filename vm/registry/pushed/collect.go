package pushed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/opencontainers/go-digest"
)

// blobGrace is how old a blob must be before it counts as garbage: a client pushes
// the layers of an image before its manifest.
const blobGrace = time.Hour

// repositoriesRoot is where distribution's layout has the repositories.
const repositoriesRoot = "/docker/registry/v2/repositories"

// Options of a collection.
type Options struct {
	// DryRun only finds garbage.
	DryRun bool
	// Untagged is how old an image must be that has no tag, before it counts as
	// garbage: somebody may run it by its digest.
	Untagged time.Duration
	// All collects everything.
	All bool
}

// Collect deletes images without a tag, abandoned uploads, and blobs that no image
// refers to, and returns how many bytes that freed. Pushes wait until it is done.
func (s *Store) Collect(ctx context.Context, options Options) (int64, error) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	if options.All {
		return s.removeAll(options.DryRun)
	}
	now := time.Now()
	marked, garbage, err := s.mark(ctx, now, options.Untagged)
	if err != nil {
		return 0, fmt.Errorf("find unused images: %w", err)
	}
	freed, err := s.sweep(ctx, marked, garbage, now.Add(-blobGrace), options.DryRun)
	if err != nil {
		return freed, fmt.Errorf("delete unused images: %w", err)
	}
	if options.DryRun {
		return freed, nil
	}
	if _, err := s.driver.Stat(ctx, repositoriesRoot); err != nil {
		return freed, absentIsEmpty(err)
	}
	if _, failed := storage.PurgeUploads(ctx, s.driver, now.Add(-blobGrace), true); len(failed) > 0 {
		return freed, fmt.Errorf("delete abandoned uploads: %w", errors.Join(failed...))
	}
	size, err := treeSize(s.config.Dir)
	if err == nil {
		s.bytes.Store(size)
	}
	return freed, err
}

// removeAll deletes everything.
func (s *Store) removeAll(dryRun bool) (int64, error) {
	size, err := treeSize(s.config.Dir)
	if err != nil || dryRun {
		return size, err
	}
	if err := os.RemoveAll(filepath.Join(s.config.Dir, "docker")); err != nil {
		return 0, fmt.Errorf("delete all images: %w", err)
	}
	s.bytes.Store(0)
	return size, nil
}

// revision is a manifest in a repository.
type revision struct {
	repository string
	digest     digest.Digest
	// tags are those of the repository. Each may have led to the manifest once.
	tags []string
}

// mark returns the digests of all manifests and blobs that are in use, and the
// manifests that are not.
func (s *Store) mark(ctx context.Context, now time.Time, grace time.Duration) (map[digest.Digest]bool, []revision, error) {
	marked := map[digest.Digest]bool{}
	var untagged []revision
	err := s.repositories(ctx, func(repository distribution.Repository) error {
		manifests, err := repository.Manifests(ctx)
		if err != nil {
			return err
		}
		enumerator, ok := manifests.(distribution.ManifestEnumerator)
		if !ok {
			return errors.New("the storage cannot list manifests")
		}
		names, roots, err := tagged(ctx, repository)
		if err != nil {
			return err
		}
		name := repository.Named().Name()
		return absentIsEmpty(enumerator.Enumerate(ctx, func(d digest.Digest) error {
			if !roots[d] && s.age(ctx, name, d, now) >= grace {
				untagged = append(untagged, revision{name, d, names})
				return nil
			}
			return markFrom(ctx, manifests, d, marked)
		}))
	})
	var garbage []revision
	for _, r := range untagged {
		if !marked[r.digest] { // else part of an index
			garbage = append(garbage, r)
		}
	}
	return marked, garbage, err
}

// tagged returns the tags of a repository, and the digests that they lead to.
func tagged(ctx context.Context, repository distribution.Repository) ([]string, map[digest.Digest]bool, error) {
	roots := map[digest.Digest]bool{}
	tags := repository.Tags(ctx)
	names, err := tags.All(ctx)
	if err != nil {
		return nil, roots, absentIsEmpty(err)
	}
	for _, name := range names {
		found, err := tags.Get(ctx, name)
		if errors.As(err, &distribution.ErrTagUnknown{}) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		roots[found.Digest] = true
	}
	return names, roots, nil
}

// age returns how long ago a manifest was pushed, 0 if that is not known.
func (s *Store) age(ctx context.Context, repository string, d digest.Digest, now time.Time) time.Duration {
	info, err := s.driver.Stat(ctx, path.Join(repositoriesRoot, repository, "_manifests/revisions", d.Algorithm().String(), d.Encoded(), "link"))
	if err != nil {
		return 0
	}
	return now.Sub(info.ModTime())
}

// markFrom marks a manifest and everything that it refers to. A part that is missing
// refers to nothing.
func markFrom(ctx context.Context, manifests distribution.ManifestService, root digest.Digest, marked map[digest.Digest]bool) error {
	queue := []digest.Digest{root}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if marked[next] {
			continue
		}
		marked[next] = true
		exists, err := manifests.Exists(ctx, next)
		if err != nil || !exists {
			continue // a layer
		}
		manifest, err := manifests.Get(ctx, next)
		if err != nil {
			return err
		}
		for _, part := range manifest.References() {
			queue = append(queue, part.Digest)
		}
	}
	return nil
}

// sweep deletes unused manifests, and blobs that are not marked and were written
// before a point in time. It returns the size of these blobs.
func (s *Store) sweep(ctx context.Context, marked map[digest.Digest]bool, garbage []revision, before time.Time, dryRun bool) (int64, error) {
	vacuum := storage.NewVacuum(ctx, s.driver)
	unused := map[digest.Digest]bool{}
	for _, r := range garbage {
		unused[r.digest] = true
		if dryRun {
			continue
		}
		if err := vacuum.RemoveManifest(r.repository, r.digest, r.tags); err != nil {
			return 0, err
		}
	}
	var freed int64
	var blobs []digest.Digest
	err := s.namespace.Blobs().Enumerate(ctx, func(d digest.Digest) error {
		info, err := os.Stat(s.blob(d))
		if err != nil || marked[d] || info.ModTime().After(before) && !unused[d] {
			return nil
		}
		freed += info.Size()
		blobs = append(blobs, d)
		return nil
	})
	if err := absentIsEmpty(err); err != nil || dryRun {
		return freed, err
	}
	if err := s.unlink(ctx, vacuum, blobs); err != nil {
		return 0, err
	}
	for _, d := range blobs {
		if err := vacuum.RemoveBlob(d.String()); err != nil {
			return 0, err
		}
	}
	return freed, nil
}

// unlink deletes the links of repositories to layers. A link to a missing layer
// would make clients believe that they need not push it.
func (s *Store) unlink(ctx context.Context, vacuum storage.Vacuum, blobs []digest.Digest) error {
	return s.repositories(ctx, func(repository distribution.Repository) error {
		name := repository.Named().Name()
		for _, d := range blobs {
			if err := vacuum.RemoveLayer(name, d); absentIsEmpty(err) != nil {
				return err
			}
		}
		return nil
	})
}

// blob returns the file of a blob.
func (s *Store) blob(d digest.Digest) string {
	return filepath.Join(s.config.Dir, "docker/registry/v2/blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded(), "data")
}
