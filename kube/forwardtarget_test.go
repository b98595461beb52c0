package kube

import (
	"testing"
)

func TestStableLabelsOmitPerPodLabels(t *testing.T) {
	got := stableLabels(map[string]string{"app": "web", "pod-template-hash": "abc", "statefulset.kubernetes.io/pod-name": "web-0"})
	if len(got) != 1 || got["app"] != "web" {
		t.Errorf("%v", got)
	}
}
