package applyset

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/kubectl/pkg/polymorphichelpers"
)

// ready reports whether an object is ready, and if not, what it is waiting for. The error
// is that of an object that will not become ready.
func ready(o *unstructured.Unstructured) (message string, ok bool, err error) {
	kind := o.GroupVersionKind().GroupKind()
	if o.GetDeletionTimestamp() != nil {
		return "being deleted", false, nil
	}
	switch kind.String() {
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps":
		return rolledOut(o)
	case "Namespace":
		phase := text(o, "status", "phase")
		return "phase " + phase, phase == "Active", nil
	case "Pod":
		return podReady(o)
	case "Service":
		ingress, _, _ := unstructured.NestedSlice(o.Object, "status", "loadBalancer", "ingress")
		return "no address yet", text(o, "spec", "type") != "LoadBalancer" || len(ingress) > 0, nil
	case "Job.batch":
		if condition(o, "Failed") == "True" {
			return "", false, fmt.Errorf("%s failed: %s", Name(o), conditionMessage(o, "Failed"))
		}
		suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend")
		return "not complete yet", suspended || condition(o, "Complete") == "True", nil
	case definitionKind.String():
		if condition(o, "NamesAccepted") == "False" {
			return "", false, fmt.Errorf("%s: %s", Name(o), conditionMessage(o, "NamesAccepted"))
		}
		return "not established yet", condition(o, "Established") == "True", nil
	case "APIService.apiregistration.k8s.io":
		return "not available yet", condition(o, "Available") == "True", nil
	}
	return "", true, nil
}

// rolledOut is ready for workloads.
func rolledOut(o *unstructured.Unstructured) (string, bool, error) {
	paused, _, _ := unstructured.NestedBool(o.Object, "spec", "paused")
	if paused || text(o, "spec", "updateStrategy", "type") == "OnDelete" {
		return "", true, nil // the user decides when it is rolled out
	}
	viewer, err := polymorphichelpers.StatusViewerFor(o.GroupVersionKind().GroupKind())
	if err != nil {
		return "", false, err
	}
	message, ok, err := viewer.Status(o, 0)
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", Name(o), err)
	}
	message = strings.TrimSuffix(strings.TrimSpace(message), "...")
	if _, after, found := strings.Cut(message, " rollout to finish: "); found {
		message = after
	}
	return message, ok, nil
}

func podReady(o *unstructured.Unstructured) (string, bool, error) {
	switch phase := text(o, "status", "phase"); phase {
	case "Succeeded":
		return "", true, nil
	case "Failed":
		return "", false, fmt.Errorf("%s failed: %s", Name(o), text(o, "status", "message"))
	default:
		return "phase " + phase, condition(o, "Ready") == "True", nil
	}
}

func text(o *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(o.Object, path...)
	return value
}

// condition returns the status of a condition; empty if the object does not have it.
func condition(o *unstructured.Unstructured, name string) string {
	return conditionField(o, name, "status")
}

func conditionMessage(o *unstructured.Unstructured, name string) string {
	return conditionField(o, name, "message")
}

func conditionField(o *unstructured.Unstructured, name, field string) string {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, one := range all {
		if c, ok := one.(map[string]any); ok && c["type"] == name {
			value, _ := c[field].(string)
			return value
		}
	}
	return ""
}
