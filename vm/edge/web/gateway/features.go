package gateway

import (
	"slices"

	"sigs.k8s.io/gateway-api/pkg/features"
)

// Features returns the names of the features that the host supports, sorted, as the API
// requires. The conformance tests run for exactly these.
func Features() []features.FeatureName {
	all := []features.FeatureName{
		features.SupportGateway, features.SupportReferenceGrant, features.SupportHTTPRoute, features.SupportGRPCRoute,
		features.SupportGRPCRouteNamedRouteRule,
		features.SupportGatewayPort8080, features.SupportGatewayHTTPListenerIsolation,
		features.SupportGatewayHTTPSListenerDetectMisdirectedRequests,
		features.SupportGatewayStaticAddresses, features.SupportGatewayAddressEmpty,
		features.SupportHTTPRouteBackendRequestHeaderModification, features.SupportHTTPRouteQueryParamMatching,
		features.SupportHTTPRouteMethodMatching, features.SupportHTTPRouteResponseHeaderModification,
		features.SupportHTTPRoutePortRedirect, features.SupportHTTPRouteSchemeRedirect, features.SupportHTTPRoutePathRedirect,
		features.SupportHTTPRoute303RedirectStatusCode, features.SupportHTTPRoute307RedirectStatusCode, features.SupportHTTPRoute308RedirectStatusCode,
		features.SupportHTTPRouteHostRewrite, features.SupportHTTPRoutePathRewrite,
		features.SupportHTTPRouteRequestMirror, features.SupportHTTPRouteRequestMultipleMirrors, features.SupportHTTPRouteRequestPercentageMirror,
		features.SupportHTTPRouteRequestTimeout, features.SupportHTTPRouteBackendTimeout,
		features.SupportHTTPRouteParentRefPort, features.SupportHTTPRouteNamedRouteRule,
		features.SupportHTTPRouteBackendProtocolH2C, features.SupportHTTPRouteBackendProtocolWebSocket,
		features.SupportHTTPRouteCORS,
		features.SupportTLSRoute, features.SupportTLSRouteModeTerminate, features.SupportTLSRouteModeMixed,
	}
	slices.Sort(all)
	return all
}
