package apiserver_test

import (
	"net/netip"
	"slices"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
)

func TestOptionsAreSafe(t *testing.T) {
	o := apiserver.Options(apiserver.Settings{
		Address: netip.MustParseAddr("192.168.104.11"), Port: 6443, PKIDir: "/pki",
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Domain: "cluster.local", AuditLog: "/log/audit.log",
	})
	if o.Authentication.Anonymous.Allow || !o.Authentication.BootstrapToken.Enable || o.SecureServing.MinTLSVersion != "VersionTLS13" {
		t.Error("strangers, tokens or TLS")
	}
	if !slices.Equal(o.Authorization.Modes, []string{"Node", "RBAC"}) || !slices.Contains(o.Admission.GenericAdmission.EnablePlugins, "NodeRestriction") {
		t.Error("authorization or admission")
	}
	if o.Etcd.EncryptionProviderConfigFilepath != "/pki/encryption.yaml" || !o.Etcd.EncryptionProviderConfigAutomaticReload {
		t.Error("secrets at rest, or the rotation of their key")
	}
	if o.KubeletConfig.TLSClientConfig.CAFile != "/pki/ca.crt" {
		t.Error("kubelets are not verified")
	}
	if o.SecureServing.BindAddress.String() != "192.168.104.11" || o.Features.EnableProfiling {
		t.Error("listens wider than needed, or shows profiles")
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
		t.Error("what no rule names is not recorded")
	}
}
