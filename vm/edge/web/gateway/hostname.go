package gateway

import "strings"

// covers reports whether a hostname of a listener or a route matches a host. "" matches
// every host; a wildcard stands for one label or more.
func covers(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return pattern == "" || pattern == host
}

// intersect returns the hosts that two patterns have in common.
func intersect(a, b string) (string, bool) {
	switch {
	case covers(a, b) && b != "", a == b:
		return b, true
	case covers(b, a) && a != "":
		return a, true
	}
	return "", false
}

// specificity orders hostnames: exact ones before wildcards, longer ones first, "" last.
func specificity(pattern string) int {
	if pattern == "" {
		return 0
	}
	if strings.HasPrefix(pattern, "*") {
		return len(pattern)
	}
	return 1000 + len(pattern)
}
