package cli

import (
	"fmt"
	"time"
)

// Bytes formats a size in the units of Kubernetes.
func Bytes(n int64) string {
	const unit = 1024
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1fGi", float64(n)/(unit*unit*unit))
	case n >= unit*unit:
		return fmt.Sprintf("%dMi", n/(unit*unit))
	default:
		return fmt.Sprintf("%dKi", (n+unit-1)/unit)
	}
}

// Digest shortens the digest of an image for a table.
func Digest(digest string) string {
	const shown = len("sha256:") + 12
	return digest[:min(len(digest), shown)]
}

// Age formats a duration as kubectl does.
func Age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// Count returns "1 node" or "2 nodes".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
