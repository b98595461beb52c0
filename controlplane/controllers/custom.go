package controllers

import (
	"context"
	"fmt"
	"os"

	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllernames "k8s.io/kubernetes/cmd/kube-controller-manager/names"
	serviceaccountcontroller "k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// tokenController returns the controller that fills secrets of the legacy service
// account token type. Upstream's own constructor of it is not exported.
func tokenController(ctx context.Context, s Settings, shared app.ControllerContext, root clients) (*serviceaccountcontroller.TokensController, error) {
	o := shared.ComponentConfig.SAController
	key, err := keyutil.PrivateKeyFromFile(o.ServiceAccountKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the service account key: %w", err)
	}
	ca, err := os.ReadFile(o.RootCAFile)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	generator, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, key)
	if err != nil {
		return nil, fmt.Errorf("make the token generator: %w", err)
	}
	client, err := root.Client("tokens-controller")
	if err != nil {
		return nil, fmt.Errorf("make the token controller's client: %w", err)
	}
	tokens, err := serviceaccountcontroller.NewTokensController(
		klog.FromContext(ctx),
		shared.InformerFactory.Core().V1().ServiceAccounts(),
		shared.InformerFactory.Core().V1().Secrets(),
		client,
		serviceaccountcontroller.TokensControllerOptions{TokenGenerator: generator, RootCA: ca},
	)
	if err != nil {
		return nil, fmt.Errorf("build the token controller: %w", err)
	}
	return tokens, nil
}

// policyStatusController returns the controller that checks the types in admission
// policies. Upstream's constructor keeps the definitions of all built-in types in
// memory, 13 MB; this one gets those that a policy uses from the API.
func policyStatusController(shared app.ControllerContext) (*validatingadmissionpolicystatus.Controller, error) {
	const name = controllernames.ValidatingAdmissionPolicyStatusController
	discovery, err := shared.ClientBuilder.DiscoveryClient(name)
	if err != nil {
		return nil, fmt.Errorf("make the policy controller's discovery client: %w", err)
	}
	client, err := shared.NewClient(name)
	if err != nil {
		return nil, fmt.Errorf("make the policy controller's client: %w", err)
	}
	policies, err := validatingadmissionpolicystatus.NewController(
		shared.InformerFactory.Admissionregistration().V1().ValidatingAdmissionPolicies(),
		client.AdmissionregistrationV1().ValidatingAdmissionPolicies(),
		&validating.TypeChecker{
			SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: discovery},
			RestMapper:     shared.RESTMapper,
		},
	)
	if err != nil {
		return nil, fmt.Errorf("build the policy controller: %w", err)
	}
	return policies, nil
}
