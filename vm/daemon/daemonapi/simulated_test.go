package daemonapi

import "testing"

func TestSimulatedNodesAreOneLine(t *testing.T) {
	for _, c := range []struct {
		count Simulated
		want  string
	}{
		{Simulated{Nodes: 500, Ready: 500}, "500 simulated nodes"},
		{Simulated{Nodes: 500, Ready: 497}, "500 simulated nodes, 3 not Ready"},
		{Simulated{Nodes: 1, Ready: 1}, "1 simulated node"},
	} {
		if got := c.count.String(); got != c.want {
			t.Errorf("%+v is %q, want %q", c.count, got, c.want)
		}
	}
}
