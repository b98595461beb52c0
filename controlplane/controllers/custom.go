package controllers

import (
	"fmt"

	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllernames "k8s.io/kubernetes/cmd/kube-controller-manager/names"
	"k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus"
)

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
