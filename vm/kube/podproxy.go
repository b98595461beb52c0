package kube

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podProxyName is the name of the policy that gives containers the variables of the
// proxy, and of its binding.
const podProxyName = "skiff-pod-proxy"

// SetPodVariables makes the API server give all containers of new pods the variables
// in NAME=VALUE form, except for those that a container sets itself. Without any
// variables it removes what it made. Policies that somebody else wrote stay.
func (c *Client) SetPodVariables(ctx context.Context, variables []string) error {
	if len(variables) == 0 {
		return c.removePodVariables(ctx)
	}
	meta := metav1.ObjectMeta{Name: podProxyName, Labels: map[string]string{labelManagedBy: managedBySkiff}}
	policies := c.set.AdmissionregistrationV1().MutatingAdmissionPolicies()
	policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: meta, Spec: podVariables(variables)}
	current, err := policies.Get(ctx, podProxyName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = policies.Create(ctx, policy, metav1.CreateOptions{})
	case err == nil && current.Labels[labelManagedBy] != managedBySkiff:
		return nil // a binding would put it into effect
	case err == nil && !reflect.DeepEqual(current.Spec.Mutations, policy.Spec.Mutations):
		current.Spec = policy.Spec
		_, err = policies.Update(ctx, current, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("give pods the proxy: %w", err)
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: podProxyName}}
	_, err = c.set.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("give pods the proxy: %w", err)
	}
	return nil
}

func (c *Client) removePodVariables(ctx context.Context) error {
	policies := c.set.AdmissionregistrationV1().MutatingAdmissionPolicies()
	bindings := c.set.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	binding, err := bindings.Get(ctx, podProxyName, metav1.GetOptions{})
	if err == nil && binding.Labels[labelManagedBy] == managedBySkiff {
		err = bindings.Delete(ctx, podProxyName, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the proxy of pods: %w", err)
	}
	policy, err := policies.Get(ctx, podProxyName, metav1.GetOptions{})
	if err == nil && policy.Labels[labelManagedBy] == managedBySkiff {
		err = policies.Delete(ctx, podProxyName, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the proxy of pods: %w", err)
	}
	return nil
}

// podVariables returns a policy for new pods. A pod is admitted even if the policy
// fails. A strategic merge keeps what a container has.
func podVariables(variables []string) admissionv1.MutatingAdmissionPolicySpec {
	ignore := admissionv1.Ignore
	spec := admissionv1.MutatingAdmissionPolicySpec{
		FailurePolicy: &ignore, ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}}}},
	}
	for _, field := range []string{"containers", "initContainers"} {
		spec.Mutations = append(spec.Mutations, admissionv1.Mutation{
			PatchType: admissionv1.PatchTypeApplyConfiguration,
			ApplyConfiguration: &admissionv1.ApplyConfiguration{
				Expression: addVariables(field, variables),
			},
		})
	}
	return spec
}

// addVariables returns a CEL expression that adds variables to a kind of containers.
func addVariables(field string, variables []string) string {
	var list []string
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		list = append(list, fmt.Sprintf("Object.spec.%s.env{name: %s, value: %s}", field, strconv.QuoteToASCII(name), strconv.QuoteToASCII(value)))
	}
	return fmt.Sprintf(`Object{spec: Object.spec{%[1]s: has(object.spec.%[1]s) ? object.spec.%[1]s.map(c, Object.spec.%[1]s{
  name: c.name,
  env: [%[2]s].filter(v, !has(c.env) || !c.env.exists(e, e.name == v.name))
}) : []}}`, field, strings.Join(list, ", "))
}
