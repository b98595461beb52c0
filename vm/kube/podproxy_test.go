package kube

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestPodVariablesAreChangedAndRemoved(t *testing.T) {
	c := &Client{set: fake.NewClientset()}
	for _, value := range []string{"http://a:1", "http://a:1", `http://b:2/"quoted"`} {
		if err := c.SetPodVariables(t.Context(), []string{"HTTP_PROXY=" + value}); err != nil {
			t.Fatal(err)
		}
		found, err := c.set.AdmissionregistrationV1().MutatingAdmissionPolicies().Get(t.Context(), podProxyName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(value, `"`, `\"`)
		if expression := found.Spec.Mutations[0].ApplyConfiguration.Expression; !strings.Contains(expression, `name: "HTTP_PROXY", value: "`+want+`"`) {
			t.Errorf("%s: expression %s", value, expression)
		}
		binding, err := c.set.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Get(t.Context(), podProxyName, metav1.GetOptions{})
		if err != nil || binding.Spec.PolicyName != podProxyName {
			t.Errorf("binding %+v, %v", binding, err)
		}
	}
	for range 2 {
		if err := c.SetPodVariables(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	_, policy := c.set.AdmissionregistrationV1().MutatingAdmissionPolicies().Get(t.Context(), podProxyName, metav1.GetOptions{})
	_, binding := c.set.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Get(t.Context(), podProxyName, metav1.GetOptions{})
	if !apierrors.IsNotFound(policy) || !apierrors.IsNotFound(binding) {
		t.Errorf("after the removal: %v, %v", policy, binding)
	}
}

func TestAPolicyOfSomebodyElseStays(t *testing.T) {
	c := &Client{set: fake.NewClientset(&admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: podProxyName}})}
	for _, variables := range [][]string{{"A=b"}, nil} {
		if err := c.SetPodVariables(t.Context(), variables); err != nil {
			t.Fatal(err)
		}
		found, err := c.set.AdmissionregistrationV1().MutatingAdmissionPolicies().Get(t.Context(), podProxyName, metav1.GetOptions{})
		if err != nil || len(found.Spec.Mutations) > 0 {
			t.Errorf("%v: %+v, %v", variables, found, err)
		}
		_, err = c.set.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Get(t.Context(), podProxyName, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("%v: the policy was bound: %v", variables, err)
		}
	}
}
