package kube

import (
	"errors"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

func TestComponentsThatAreDeniedTheirWorkAreFound(t *testing.T) {
	for user, want := range map[string]string{
		"":                               "",
		"system:node:worker-1":           "system:node:worker-1 may not update leases: the webhook timed out",
		"system:kube-scheduler":          "system:kube-scheduler may not create pods/binding: the webhook timed out",
		"system:kube-controller-manager": "system:kube-controller-manager may not create serviceaccounts/token: the webhook timed out",
	} {
		set := fake.NewClientset()
		set.PrependReactor("create", "subjectaccessreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
			review := a.(k8stesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
			review.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: review.Spec.User != user, EvaluationError: "the webhook timed out"}
			return true, review, nil
		})
		err := (&Client{set: set}).CheckAccess(t.Context(), "worker-1")
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrDenied) || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%q is denied: %v, want %q", user, err, want)
		}
	}
}
