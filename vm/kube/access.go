package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/internal/names"
)

// ErrDenied means that the cluster's own components are not allowed to do their work.
var ErrDenied = errors.New("the configured authorization does not work")

// authenticated is the group of everyone but anonymous users.
const authenticated = "system:authenticated"

// CheckAccess returns ErrDenied if the API server denies one of the cluster's own components
// a request that it always makes: the kubelet of the given node, the scheduler or the
// controllers. That happens if users have configured authorization.
func (c *Client) CheckAccess(ctx context.Context, node string) error {
	for _, request := range []authorizationv1.SubjectAccessReviewSpec{
		{
			User: names.UserNodePrefix + node, Groups: []string{names.GroupNodes, authenticated},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "kube-node-lease", Name: node},
		},
		{
			User: names.UserScheduler, Groups: []string{authenticated},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "binding", Namespace: "default"},
		},
		{
			User: names.UserControllerManager, Groups: []string{authenticated},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "serviceaccounts", Subresource: "token", Namespace: "kube-system"},
		},
	} {
		review, err := c.set.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: request}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("ask what %s may do: %w", request.User, err)
		}
		if review.Status.Allowed {
			continue
		}
		a, why := request.ResourceAttributes, cmp.Or(review.Status.EvaluationError, review.Status.Reason, "no reason given")
		return fmt.Errorf("%w: %s may not %s %s: %s", ErrDenied, request.User, a.Verb, strings.TrimSuffix(a.Resource+"/"+a.Subresource, "/"), why)
	}
	return nil
}
