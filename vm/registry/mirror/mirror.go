// Package mirror reads what users write about other registries: which mirrors
// replace them, and which are insecure.
package mirror

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Mirror is a registry that has the images of another one.
type Mirror struct {
	// Registry is the one that image names contain, such as docker.io.
	Registry string
	// Host serves its images, HOST or HOST:PORT.
	Host string
	// Plain is true if it does so over HTTP.
	Plain bool
	// Prefix comes before the names of repositories there; may be empty.
	Prefix string
}

var (
	host       = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	repository = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
)

// Parse reads REGISTRY=URL, such as docker.io=https://mirror.example or
// docker.io=https://registry.example/dockerhub.
func Parse(text string) (Mirror, error) {
	fault := func(why string) (Mirror, error) {
		return Mirror{}, fmt.Errorf("invalid mirror %q: %s; use e.g. docker.io=https://mirror.example", text, why)
	}
	registry, address, found := strings.Cut(text, "=")
	if !found {
		return fault("it has no \"=\"")
	}
	if !IsHost(registry) {
		return fault(fmt.Sprintf("%q is not a registry", registry))
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fault("the mirror must begin with https:// or http://")
	}
	prefix := strings.Trim(u.Path, "/")
	switch {
	case !IsHost(u.Host):
		return fault(fmt.Sprintf("%q is not a host", u.Host))
	case u.User != nil:
		return fault("credentials belong to the configuration of docker, as \"docker login\" writes them")
	case u.RawQuery != "" || u.Fragment != "" || prefix != "" && !repository.MatchString(prefix):
		return fault(fmt.Sprintf("%q is not a path of repositories", strings.TrimPrefix(address, u.Scheme+"://"+u.Host)))
	}
	return Mirror{Registry: registry, Host: u.Host, Plain: u.Scheme == "http", Prefix: prefix}, nil
}

// IsHost reports whether text is HOST or HOST:PORT as in the name of an image. IPv6
// addresses are not possible there.
func IsHost(text string) bool {
	name := text
	if strings.Contains(text, ":") {
		var port string
		var err error
		if name, port, err = net.SplitHostPort(text); err != nil {
			return false
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	return len(name) <= 253 && host.MatchString(name)
}

// Check returns what is wrong with mirrors and insecure registries, one error for
// each fault.
func Check(mirrors, insecure []string) []error {
	var faults []error
	for _, text := range mirrors {
		if _, err := Parse(text); err != nil {
			faults = append(faults, err)
		}
	}
	for _, text := range insecure {
		if !IsHost(text) {
			faults = append(faults, fmt.Errorf("invalid insecure registry %q: use e.g. registry.example or registry.example:5000", text))
		}
	}
	return faults
}

// IsRepository reports whether text can be the name of a repository.
func IsRepository(text string) bool { return len(text) <= 255 && repository.MatchString(text) }
