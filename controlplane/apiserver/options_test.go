package apiserver_test

import (
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
)

func TestOptionsAreSafe(t *testing.T) {
	o, _ := apiserver.Options(apiserver.Settings{
		Address: netip.MustParseAddr("192.168.104.11"), Port: 6443, PKIDir: "/pki",
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Domain: "cluster.local", AuditLog: "/log/audit.log",
	})
	if o.Authentication.Anonymous.Allow || o.Authentication.BootstrapToken.Enable || o.SecureServing.MinTLSVersion != "VersionTLS13" {
		t.Error("anonymous requests, bootstrap tokens or TLS")
	}
	if !slices.Equal(o.Authorization.Modes, []string{"Node", "RBAC"}) || !slices.Contains(o.Admission.GenericAdmission.EnablePlugins, "NodeRestriction") {
		t.Error("authorization or admission")
	}
	if o.Etcd.EncryptionProviderConfigFilepath != "/pki/encryption.yaml" || !o.Etcd.EncryptionProviderConfigAutomaticReload {
		t.Error("encryption of secrets, or rotation of its key")
	}
	if o.KubeletConfig.TLSClientConfig.CAFile != "/pki/ca.crt" {
		t.Error("the kubelets' CA is not set")
	}
	if o.SecureServing.BindAddress.String() != "192.168.104.11" || o.Features.EnableProfiling {
		t.Error("bind address or profiling")
	}
	if got := o.Authentication.ServiceAccounts.Issuers[0]; got != "https://kubernetes.default.svc.cluster.local" {
		t.Errorf("issuer %q", got)
	}
}

func TestAuditPolicyRecordsNoBodies(t *testing.T) {
	var p auditv1.Policy
	if err := yaml.UnmarshalStrict([]byte(apiserver.AuditPolicy), &p); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Rules {
		if r.Level != auditv1.LevelNone && r.Level != auditv1.LevelMetadata {
			t.Errorf("level %s", r.Level)
		}
	}
	if last := p.Rules[len(p.Rules)-1]; last.Level != auditv1.LevelMetadata || last.Resources != nil {
		t.Error("requests that no rule matches are not recorded")
	}
}

func TestAuditPolicyRecordsAccessToSecretsByEverybody(t *testing.T) {
	p, err := policy.LoadPolicyFromBytes([]byte(apiserver.AuditPolicy))
	if err != nil {
		t.Fatal(err)
	}
	rules := policy.NewPolicyRuleEvaluator(p)
	node := &user.DefaultInfo{Name: "system:node:worker-1", Groups: []string{"system:nodes"}}
	controller := &user.DefaultInfo{Name: "system:serviceaccount:kube-system:c", Groups: []string{"system:serviceaccounts:kube-system"}}
	for _, tt := range []struct {
		who            *user.DefaultInfo
		verb, group    string
		resource, part string
		recorded       bool
	}{
		{node, "get", "", "secrets", "", true},
		{node, "create", "", "serviceaccounts", "token", true},
		{node, "patch", "", "nodes", "", true},
		{node, "delete", "", "pods", "", true},
		{node, "create", "certificates.k8s.io", "certificatesigningrequests", "", true},
		{node, "get", "", "configmaps", "", false},
		{node, "patch", "", "nodes", "status", false},
		{node, "patch", "", "pods", "status", false},
		{node, "update", "coordination.k8s.io", "leases", "", false},
		{node, "create", "", "events", "", false},
		{controller, "list", "", "secrets", "", true},
		{controller, "update", "apps", "deployments", "status", false},
		{&user.DefaultInfo{Name: "system:kube-controller-manager"}, "get", "", "secrets", "", true},
		{&user.DefaultInfo{Name: "jane"}, "create", "", "pods", "exec", true},
		{&user.DefaultInfo{Name: "jane"}, "get", "", "pods", "exec", true},
		{&user.DefaultInfo{Name: "jane"}, "list", "", "pods", "", false},
		{&user.DefaultInfo{Name: "jane"}, "delete", "", "pods", "", true},
	} {
		level := rules.EvaluatePolicyRule(authorizer.AttributesRecord{
			User: tt.who, Verb: tt.verb, APIGroup: tt.group, Resource: tt.resource, Subresource: tt.part, ResourceRequest: true,
		}).Level
		if recorded := level != audit.LevelNone; recorded != tt.recorded {
			t.Errorf("%s %s %s/%s: level %s", tt.who.Name, tt.verb, tt.resource, tt.part, level)
		}
	}
}
