// Package hostport is the set of ports of the host's loopback that machines may
// use. The zero Set has none.
package hostport

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// All is the text that opens every port.
const All = "all"

// Set is a set of ports.
type Set struct {
	all    bool
	ranges []span
}

type span struct{ first, last uint16 }

// Parse returns the set that a configuration describes: ports ("5432"), ranges
// ("8000-8100") or All.
func Parse(list []string) (Set, error) {
	var s Set
	for _, text := range list {
		if text == All {
			s.all = true
			continue
		}
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		from, failed := number(first)
		to, also := number(last)
		if failed || also || from > to {
			return Set{}, fmt.Errorf("invalid port %q: use a port such as 5432, a range such as 8000-8100, or %s", text, All)
		}
		s.ranges = append(s.ranges, span{from, to})
	}
	return s, nil
}

func number(text string) (port uint16, failed bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err != nil || n == 0
}

// With returns the set with one more port.
func (s Set) With(port uint16) Set {
	s.ranges = append(slices.Clone(s.ranges), span{port, port})
	return s
}

// Contains reports whether a port is in the set.
func (s Set) Contains(port uint16) bool {
	return port != 0 && (s.all || slices.ContainsFunc(s.ranges, func(r span) bool { return r.first <= port && port <= r.last }))
}
