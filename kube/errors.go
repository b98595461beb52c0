package kube

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-dev/skiff/kube/object"
)

// freshness returns the state of data whose last request ended with err.
func freshness(err error, at time.Time) object.Freshness {
	switch {
	case err == nil:
		return object.Freshness{State: object.Live, At: at}
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err), apierrors.IsUnauthorized(err):
		return object.Freshness{State: object.Refused, At: at, Problem: Reason(err)}
	}
	return object.Freshness{State: object.Lost, At: at, Problem: Reason(err)}
}

// Reason returns an error's message in one line, without details such as URLs
// that the user knows already.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	var network *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out waiting for a response"
	case errors.As(err, &network) && network.Op == "dial":
		return "cannot connect to " + network.Addr.String()
	case strings.Contains(err.Error(), "http2: client connection lost"): // golang.org/x/net/http2 does not export this error
		return "the server stopped responding"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
