package entry

import (
	"slices"
	"strings"
)

// LabelPrefix precedes the name of a pod's label in the name of its field.
const LabelPrefix = "label."

// Bounds of the labels of a pod that are stored with its entries.
const (
	maxLabels = 32
	// maxLabelName is how long the name of a field can be in the store.
	maxLabelName = 128
)

// Container identifies the container that wrote a log.
type Container struct {
	Namespace, Pod, UID, Container string
	// Attempt is the number of times that the container was started before.
	Attempt string
}

// ParsePath returns the container of a log by its path below /var/log/pods:
// "NAMESPACE_POD_UID/CONTAINER/ATTEMPT.log".
func ParsePath(path string) (Container, bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 3 {
		return Container{}, false
	}
	names := strings.Split(parts[0], "_")
	attempt, _, isLog := strings.Cut(parts[2], ".log")
	if len(names) != 3 || slices.Contains(names, "") || parts[1] == "" || !isLog || attempt == "" || strings.Trim(attempt, "0123456789") != "" {
		return Container{}, false
	}
	return Container{Namespace: names[0], Pod: names[1], UID: names[2], Container: parts[1], Attempt: attempt}, true
}

// Labels returns the fields of a pod's labels, without those that controllers set to
// tell revisions apart.
func Labels(labels map[string]string) []Field {
	var fields []Field
	for name, value := range labels {
		switch name {
		case "pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid", "batch.kubernetes.io/controller-uid":
			continue
		}
		if value != "" && len(LabelPrefix+name) <= maxLabelName {
			fields = append(fields, Field{LabelPrefix + name, value})
		}
	}
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return fields[:min(len(fields), maxLabels)]
}
