package format

import (
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Machines describes the driver and accelerator of a cluster's machines.
func Machines(c daemonapi.ClusterStatus) string {
	accelerator, _, _ := strings.Cut(c.Accelerator, ":")
	accelerator, _, _ = strings.Cut(accelerator, "(")
	accelerator = strings.TrimSpace(accelerator)
	if c.Driver == "" || strings.Contains(accelerator, c.Driver) {
		return accelerator
	}
	return strings.TrimSuffix(c.Driver+", "+accelerator, ", ")
}

// FirstCertificate describes the certificate of a node that expires first. The
// daemon sorts them by expiry.
func FirstCertificate(now time.Time, held []nodeapi.Certificate) (string, theme.Tone) {
	text, tone := Expiry(now, held[0].Expires)
	return held[0].Name + " " + text, tone
}

// Expiry describes when a certificate expires.
func Expiry(now, end time.Time) (string, theme.Tone) {
	switch rest := end.Sub(now); {
	case rest <= 0:
		return "expired " + end.Format(time.DateOnly), theme.Bad
	case rest < daemonapi.CertificateSoon:
		return "expires in " + object.Age(now, end), theme.Warn
	default:
		return "expires in " + object.Age(now, end), theme.Good
	}
}
