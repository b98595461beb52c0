package hostport

import (
	"strings"
	"testing"
)

func TestOnlyTheNamedPortsAreOpen(t *testing.T) {
	for _, c := range []struct {
		list         []string
		open, closed []uint16
	}{
		{nil, nil, []uint16{0, 1, 5432, 65535}},
		{[]string{"5432"}, []uint16{5432}, []uint16{0, 5431, 5433}},
		{[]string{"5432", "8000-8002"}, []uint16{5432, 8000, 8001, 8002}, []uint16{7999, 8003}},
		{[]string{"all"}, []uint16{1, 5432, 65535}, []uint16{0}},
		{[]string{"65535-65535"}, []uint16{65535}, []uint16{65534}},
	} {
		set, err := Parse(c.list)
		if err != nil {
			t.Errorf("%q: %v", c.list, err)
		}
		for _, port := range c.open {
			if !set.Contains(port) {
				t.Errorf("%q: %d is closed", c.list, port)
			}
		}
		for _, port := range c.closed {
			if set.Contains(port) {
				t.Errorf("%q: %d is open", c.list, port)
			}
		}
		if more := set.With(77); !more.Contains(77) || set.Contains(77) != strings.Contains(strings.Join(c.list, ""), All) {
			t.Errorf("%q: one more port changes the set itself", c.list)
		}
	}
}

func TestInvalidPortsAreRefusedWithWhatToUse(t *testing.T) {
	for _, text := range []string{"", "0", "65536", "-1", "+5", "http", "8100-8000", "1-", "-", "1-2-3", " 80", "ALL", "0-5"} {
		if _, err := Parse([]string{"80", text}); err == nil || !strings.Contains(err.Error(), "use a port such as 5432") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
