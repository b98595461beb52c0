package fleet

import (
	"slices"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestPortsAreOpenedAndClosedHoweverTheyAreWritten(t *testing.T) {
	open := []string{"8080:service/web:80", "9090:pod/db-0"}
	for name, tt := range map[string]struct {
		change daemonapi.PortChange
		want   []string // nil if the change is invalid
		opened []string
	}{
		"open":          {daemonapi.PortChange{Add: []string{"7070:services/shop/api"}}, append(slices.Clone(open), "7070:svc/shop/api:7070"), []string{"7070:svc/shop/api:7070"}},
		"open already":  {daemonapi.PortChange{Add: []string{"8080:svc/web:80"}}, open, nil},
		"close":         {daemonapi.PortChange{Remove: []string{"8080:svc/web:80"}}, open[1:], nil},
		"not open":      {daemonapi.PortChange{Remove: []string{"8080:svc/other:80"}}, nil, nil},
		"taken":         {daemonapi.PortChange{Add: []string{"8080:svc/other:80"}}, nil, nil},
		"invalid":       {daemonapi.PortChange{Add: []string{"web"}}, nil, nil},
		"invalid close": {daemonapi.PortChange{Remove: []string{"web"}}, nil, nil},
	} {
		got, opened, err := changePorts(open, tt.change)
		if tt.want == nil {
			if err == nil {
				t.Errorf("%s: got %q", name, got)
			}
			continue
		}
		var names []string
		for _, p := range opened {
			names = append(names, p.String())
		}
		if err != nil || !slices.Equal(got, tt.want) || !slices.Equal(names, tt.opened) {
			t.Errorf("%s: got %q, opens %q, %v", name, got, names, err)
		}
	}
}
