// Package gateway runs upstream's conformance tests of the Gateway API. It has a module of
// its own, so its dependencies do not meet Skiff's.
package gateway

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
	report "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"

	// The server in the pods of the tests, which is built from this module.
	_ "sigs.k8s.io/gateway-api/conformance/echo-basic/grpcechoserver"
)

// TestConformance runs the profiles of HTTP, gRPC and TLS with the features that the
// GatewayClass reports. Upstream's flags select tests and name the report.
func TestConformance(t *testing.T) {
	options := conformance.DefaultOptions(t)
	options.GatewayClassName = "skiff"
	options.ConformanceProfiles = []suite.ConformanceProfileName{
		suite.GatewayHTTPConformanceProfileName, suite.GatewayGRPCConformanceProfileName, suite.GatewayTLSConformanceProfileName,
	}
	options.Implementation = report.Implementation{
		Organization: "skiff-dev", Project: "skiff", URL: "https://github.com/skiff-dev/skiff",
		Version: "main", Contact: []string{"@skiff-dev/maintainers"},
	}
	conformance.RunConformanceWithOptions(t, options)
}
