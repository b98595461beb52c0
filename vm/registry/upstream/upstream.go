// Package upstream gets manifests and layers from other registries, as the user's
// configuration asks: from mirrors first, with the credentials of docker's
// configuration, and never from an address that the cluster may not reach.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	"golang.org/x/net/http/httpproxy"

	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/registry/mirror"
)

// Errors of a Client.
var (
	// ErrNotFound means that no registry has the content, or none gives it to this
	// user.
	ErrNotFound = errors.New("not found")
	// ErrUnreachable means that it is not known whether a registry has the content.
	ErrUnreachable = errors.New("registry not reachable")
)

const (
	// MaxManifest bounds a manifest, which is read into memory, in bytes. Registries
	// accept no larger ones.
	MaxManifest = 4 << 20
	// manifestLimit bounds a request for a manifest.
	manifestLimit = 30 * time.Second
	// sessionLife is how long the credentials of a registry are kept.
	sessionLife = 5 * time.Minute
	// silence is how long a registry is not asked after it could not be reached.
	silence = 10 * time.Second
	// maxSessions bounds how many repositories are kept.
	maxSessions = 1000
)

// accepted are the types of manifests, as containerd asks for them.
var accepted = strings.Join([]string{
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
	"*/*",
}, ", ")

// Config of a Client.
type Config struct {
	// Mirrors as in package mirror, in the order in which they are asked.
	Mirrors []string
	// Insecure registries may have a certificate that cannot be verified, or only
	// HTTP.
	Insecure []string
	// Egress is what may be reached.
	Egress network.Egress
	// Proxy is how other registries are reached.
	Proxy httpproxy.Config
	// Authorities are certificates in PEM that are trusted beside the host's.
	Authorities string
}

// Client asks other registries. Its methods may be called concurrently.
type Client struct {
	config  Config
	mirrors []mirror.Mirror
	guard   *guard

	mu       sync.Mutex // guards the fields below
	sessions map[target]session
	silent   map[string]time.Time // until when a host is not asked
}

// target is a repository of a registry.
type target struct {
	host, repository string
	plain            bool
}

// session is an authenticated connection to a repository.
type session struct {
	http.RoundTripper
	begun time.Time
}

// New returns a Client.
func New(config Config) (*Client, error) {
	c := &Client{config: config, sessions: map[target]session{}, silent: map[string]time.Time{}}
	for _, text := range config.Mirrors {
		m, err := mirror.Parse(text)
		if err != nil {
			return nil, err
		}
		c.mirrors = append(c.mirrors, m)
	}
	roots, err := trusted(config.Authorities)
	if err != nil {
		return nil, err
	}
	c.guard = newGuard(config, c.mirrors, roots)
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.guard.close() }

// Resolve returns the digest that a tag means.
func (c *Client) Resolve(ctx context.Context, registry, repository, tag string) (digest.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, manifestLimit)
	defer cancel()
	response, err := c.ask(ctx, http.MethodHead, registry, repository, "manifests/"+tag)
	if err != nil {
		return "", err
	}
	_ = response.Body.Close()
	d, err := digest.Parse(response.Header.Get("Docker-Content-Digest"))
	if err != nil {
		return "", fmt.Errorf("%w: its answer has no digest for the tag %s", ErrUnreachable, tag)
	}
	return d, nil
}

// Manifest returns a manifest by its tag or digest. A wrong digest is an error.
func (c *Client) Manifest(ctx context.Context, registry, repository, reference string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, manifestLimit)
	defer cancel()
	response, err := c.ask(ctx, http.MethodGet, registry, repository, "manifests/"+reference)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, MaxManifest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	case len(content) > MaxManifest:
		return nil, fmt.Errorf("%w: the manifest is larger than %d bytes", ErrNotFound, MaxManifest)
	}
	if want, err := digest.Parse(reference); err == nil && want.Algorithm().FromBytes(content) != want {
		return nil, fmt.Errorf("%w: the manifest does not match its digest", ErrNotFound)
	}
	return content, nil
}

// Blob returns a layer or a configuration, and its size, -1 if the registry does not
// state it. The caller verifies the digest.
func (c *Client) Blob(ctx context.Context, registry, repository string, d digest.Digest) (io.ReadCloser, int64, error) {
	response, err := c.ask(ctx, http.MethodGet, registry, repository, "blobs/"+d.String())
	if err != nil {
		return nil, 0, err
	}
	return response.Body, response.ContentLength, nil
}

// targets returns where the images of a repository are, in the order in which to
// ask.
func (c *Client) targets(registry, repository string) []target {
	var all []target
	for _, m := range c.mirrors {
		if m.Registry == registry {
			all = append(all, target{m.Host, strings.TrimPrefix(m.Prefix+"/"+repository, "/"), m.Plain})
		}
	}
	return append(all, target{registry, repository, c.guard.insecure(registry)})
}

// ask sends a request to the first registry that answers it. The caller closes the
// body. The error is ErrUnreachable if one of the registries may have the content.
func (c *Client) ask(ctx context.Context, method, registry, repository, path string) (*http.Response, error) {
	if c.config.Egress == network.EgressNone {
		return nil, fmt.Errorf("%w: the cluster may reach nothing outside", ErrNotFound)
	}
	var failure error
	for _, t := range c.targets(registry, repository) {
		response, err := c.askOne(ctx, method, t, path)
		if err == nil {
			return response, nil
		}
		if failure == nil || errors.Is(err, ErrUnreachable) {
			failure = fmt.Errorf("%s: %w", t.host, err)
		}
	}
	return nil, failure
}

func (c *Client) askOne(ctx context.Context, method string, t target, path string) (*http.Response, error) {
	if c.isSilent(t.host) {
		return nil, fmt.Errorf("%w a moment ago", ErrUnreachable)
	}
	connected, reg, err := c.session(ctx, t)
	if err != nil {
		return nil, c.failed(ctx, t, err)
	}
	address := fmt.Sprintf("%s://%s/v2/%s/%s", reg.Scheme(), reg.RegistryStr(), t.repository, path)
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accepted)
	response, err := (&http.Client{Transport: connected}).Do(request)
	if err == nil {
		err = transport.CheckError(response, http.StatusOK)
		if err == nil {
			return response, nil
		}
		_ = response.Body.Close()
	}
	return nil, c.failed(ctx, t, err)
}

// session returns a connection to a repository, with the credentials of docker or
// podman if the registry asks for some.
func (c *Client) session(ctx context.Context, t target) (http.RoundTripper, name.Registry, error) {
	options := []name.Option{name.StrictValidation}
	if t.plain {
		options = append(options, name.Insecure)
	}
	reg, err := name.NewRegistry(t.host, options...)
	if err != nil {
		return nil, reg, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	c.mu.Lock()
	known, ok := c.sessions[t]
	c.mu.Unlock()
	if ok && time.Since(known.begun) < sessionLife {
		return known, reg, nil
	}
	repository := reg.Repo(strings.Split(t.repository, "/")...)
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repository)
	if err != nil {
		return nil, reg, fmt.Errorf("read the credentials for %s: %w", t.host, err)
	}
	connected, err := transport.NewWithContext(ctx, reg, auth, transport.NewUserAgent(c.guard, "skiff"), []string{repository.Scope(transport.PullScope)})
	if err != nil {
		return nil, reg, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) >= maxSessions {
		clear(c.sessions)
	}
	c.sessions[t] = session{connected, time.Now()}
	return connected, reg, nil
}

// failed returns what an error means, and remembers a registry that cannot be
// reached.
func (c *Client) failed(ctx context.Context, t target, err error) error {
	if errors.Is(err, errRefused) || errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			c.mu.Lock()
			delete(c.sessions, t) // the user may log in
			c.mu.Unlock()
			return fmt.Errorf("%w: access denied", ErrNotFound)
		case http.StatusNotFound:
			return ErrNotFound
		}
		return fmt.Errorf("%w: %s", ErrUnreachable, http.StatusText(answer.StatusCode))
	}
	var network net.Error
	if ctx.Err() == nil && errors.As(err, &network) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.silent) >= maxSessions {
			clear(c.silent)
		}
		c.silent[t.host] = time.Now().Add(silence)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func (c *Client) isSilent(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.silent[host])
}
