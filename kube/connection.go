package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/kube/object"
)

// Connection carries requests of other clients to the API server as this client's user.
type Connection struct {
	// URL of the API server.
	URL *url.URL
	// Transport sends requests over a few connections.
	Transport http.RoundTripper
	// Upgrader sends each request over HTTP/1.1, whose connections can be upgraded to
	// another protocol.
	Upgrader http.RoundTripper
}

// Connection returns the client's connection.
func (c *Client) Connection() (Connection, error) {
	server, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return Connection{}, fmt.Errorf("connect to %s: %w", c.name, err)
	}
	single := rest.CopyConfig(c.config)
	single.NextProtos = []string{"http/1.1"}
	upgrader, err := newHTTPClient(single, pingAfter, pingTimeout)
	if err != nil {
		return Connection{}, fmt.Errorf("connect to %s: %w", c.name, err)
	}
	return Connection{URL: server, Transport: c.raw.Client.Transport, Upgrader: upgrader.Transport}, nil
}

// Whoami returns the client's user and groups as the API server sees them.
func (c *Client) Whoami(ctx context.Context) (user string, groups []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	review, err := c.typed.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", nil, err
	}
	return review.Status.UserInfo.Username, review.Status.UserInfo.Groups, nil
}

// Allowed reports whether the client's user may do something with all objects of a
// resource.
func (c *Client) Allowed(ctx context.Context, attributes authorizationv1.ResourceAttributes) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	review, err := c.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// Resource returns the server's resource with a name, singular name, short name or
// ID.
func (c *Client) Resource(ctx context.Context, name string) (object.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	return c.resource(ctx, name)
}
