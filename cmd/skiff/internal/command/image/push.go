package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// checkPush returns an error for a tag that does not name its registry: nobody should
// publish an image on Docker Hub because a name was short.
func checkPush(tags []string) error {
	for _, tag := range tags {
		named, err := reference.ParseNormalizedNamed(tag)
		if err != nil {
			return cli.Invalid("use a name such as localhost:5001/app:1", "invalid image name %q: %s", tag, err)
		}
		if !strings.HasPrefix(tag, reference.Domain(named)+"/") {
			return cli.Invalid("use a name such as localhost:5001/"+tag, "image name %q has no registry to push to", tag)
		}
	}
	return nil
}

// push uploads the image of an OCI archive under its names, with the credentials of
// docker's configuration, and returns its digest.
func push(ctx context.Context, archive string, names []string) (digest string, err error) {
	dir, err := os.MkdirTemp("", "skiff-push-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := unpackLayout(archive, dir); err != nil {
		return "", fmt.Errorf("read the built image: %w", err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return "", fmt.Errorf("read the built image: %w", err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		return "", fmt.Errorf("read the built image: %w", err)
	}
	if len(list.Manifests) == 0 {
		return "", errors.New("the built image is missing in its archive")
	}
	image, err := index.Image(list.Manifests[0].Digest) // every name has the same one
	if err != nil {
		return "", fmt.Errorf("read the built image: %w", err)
	}
	for _, text := range names {
		to, err := name.NewTag(text, name.StrictValidation)
		if err != nil {
			return "", fmt.Errorf("push %s: %w", text, err)
		}
		if err := remote.Write(to, image, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return "", explainPush(to, err)
		}
	}
	return list.Manifests[0].Digest.String(), nil
}

// explainPush adds a hint to an error of a push.
func explainPush(to name.Tag, err error) error {
	failure := &daemonapi.Failure{Cause: fmt.Sprintf("push %s: %v", to, err), Hint: "log in with `docker login " + to.RegistryStr() + "`, or use a registry that answers"}
	if strings.HasPrefix(to.RegistryStr(), "localhost:") {
		failure.Hint = "see where the registry on this host is with `skiff registry status`, or start it with `skiff registry start`"
	}
	return failure
}

// unpackLayout unpacks the files of an OCI archive into a directory.
func unpackLayout(archive, dir string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg {
			if err := unpackFile(root, path.Clean(header.Name), r); err != nil {
				return err
			}
		}
	}
}

func unpackFile(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
