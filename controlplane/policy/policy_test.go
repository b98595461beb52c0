package policy

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func writes(c *fake.Clientset) (n int) {
	for _, a := range c.Actions() {
		if a.GetVerb() != "list" && a.GetVerb() != "get" {
			n++
		}
	}
	return n
}

func TestPolicyIsCreatedOnceAndThenOnlyRead(t *testing.T) {
	c := fake.NewClientset()
	if err := ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RbacV1().ClusterRoles().Get(t.Context(), "cluster-admin", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SchedulingV1().PriorityClasses().Get(t.Context(), "system-node-critical", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	c.ClearActions()
	if err := ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if n := writes(c); n != 0 || len(c.Actions()) > 5 {
		t.Fatalf("%d writes, %d requests although all objects exist", n, len(c.Actions()))
	}
}

func TestMissingRulesAreRestoredUnlessTheRoleIsProtected(t *testing.T) {
	c := fake.NewClientset()
	if err := ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for name, protected := range map[string]bool{"view": false, "system:kube-scheduler": false, "system:kube-dns": true} {
		role, err := c.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		role.Rules = nil
		if protected {
			role.Annotations = map[string]string{rbacv1.AutoUpdateAnnotationKey: "false"}
		}
		if _, err := c.RbacV1().ClusterRoles().Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"system:kube-scheduler": true, "system:kube-dns": false} {
		role, _ := c.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{})
		if got := len(role.Rules) > 0; got != want {
			t.Errorf("%s has rules: %v", name, got)
		}
	}
}
