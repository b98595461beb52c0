package ui

import (
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/tui/machine"
)

func TestEveryOperationHasACommandLine(t *testing.T) {
	for _, c := range []struct {
		operation machine.Operation
		want      string
	}{
		{machine.Create{Cluster: "ci", ControlPlanes: "3", Workers: "2", Memory: "2Gi"}, "up ci --control-planes 3 --workers 2 --memory 2Gi"},
		{machine.Start{Cluster: "ci"}, "up ci"},
		{machine.Stop{Cluster: "ci"}, "stop ci"},
		{machine.Pause{Cluster: "ci"}, "pause ci"},
		{machine.Resume{Cluster: "ci"}, "resume ci"},
		{machine.Delete{Cluster: "ci"}, "down ci"},
		{machine.Scale{Cluster: "ci", Workers: 3}, "up ci --workers 3"},
		{machine.Restart{Cluster: "ci", Node: "worker-1"}, "restart worker-1 --cluster ci"},
		{machine.LoadImage{Cluster: "ci", Image: "web.tar"}, "image load web.tar --cluster ci"},
		{machine.Snapshot{Cluster: "ci", File: "ci.db"}, "etcd snapshot ci.db --cluster ci"},
		{machine.NodeLogs{Cluster: "ci", Node: "worker-1", Source: "kernel"}, "logs worker-1 --cluster ci --source kernel --follow"},
		{machine.Shell{Cluster: "ci", Node: "worker-1"}, "shell worker-1 --cluster ci"},
		{machine.Command{Args: []string{"status", "ci"}}, "status ci"},
	} {
		if got := strings.Join(arguments(c.operation), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.operation.Title(), got, c.want)
		}
	}
}
