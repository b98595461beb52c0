package apiserver

import (
	"errors"
	"fmt"
	"net/http"

	apiextensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	aggregatoropenapi "k8s.io/kube-aggregator/pkg/generated/openapi"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	"github.com/skiff-dev/skiff/controlplane/openapi"
)

// slimOpenAPI stops the server of built-in types from building its documents and
// limits the two other servers to the definitions of their own types. Those still
// build their documents, since custom resources and aggregated APIs are merged into
// them.
func slimOpenAPI(c *app.Config) {
	c.KubeAPIs.ControlPlane.Generic.SkipOpenAPIInstallation = true
	define(&c.ApiExtensions.GenericConfig.Config, apiextensionsopenapi.GetOpenAPIDefinitions)
	define(&c.Aggregator.GenericConfig.Config, aggregatoropenapi.GetOpenAPIDefinitions)
}

func define(c *genericapiserver.Config, definitions common.GetOpenAPIDefinitions) {
	v2, v3 := *c.OpenAPIConfig, *c.OpenAPIV3Config
	v2.GetDefinitions, v2.Definitions = definitions, nil
	v3.GetDefinitions, v3.Definitions = definitions, nil
	c.OpenAPIConfig, c.OpenAPIV3Config = &v2, &v3
}

// installOpenAPI serves the embedded documents at the paths where the server of
// built-in types would serve its own.
func installOpenAPI(kube *genericapiserver.GenericAPIServer) error {
	documents, err := openapi.Embedded()
	if err != nil {
		return err
	}
	documents.Install(kube.Handler.NonGoRestfulMux)
	return nil
}

// delegate returns the server of built-in types.
func delegate(a *aggregatorapiserver.APIAggregator) (*genericapiserver.GenericAPIServer, error) {
	kube, ok := a.GenericAPIServer.NextDelegate().(*genericapiserver.GenericAPIServer)
	if !ok {
		return nil, errors.New("unexpected server chain: the server of built-in types is not the next delegate")
	}
	return kube, nil
}

// Delegate prepares the server without running it and returns the handler of
// built-in types, without authentication and without custom resources and aggregated
// APIs.
func (s *Server) Delegate() (http.Handler, error) {
	if _, err := s.aggregator.PrepareRun(); err != nil {
		return nil, fmt.Errorf("prepare the API server: %w", err)
	}
	kube, err := delegate(s.aggregator)
	if err != nil {
		return nil, err
	}
	return kube.UnprotectedHandler(), nil
}
