package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/internal/authtest"
)

// webhooks checks that webhooks are called by the server's own clients, behind a
// service and behind the API server's own service, with a CA of their own.
func (c *cluster) webhooks(t *testing.T) {
	listening, authority := authtest.Serve(t, "hook.default.svc", http.HandlerFunc(annotate))
	port := int32(listening)
	// Nothing routes to ClusterIPs here, so the webhook has an external name.
	if _, err := c.client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "hook"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{Port: port}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.register(t, "behind-a-service", authority, &admissionregistrationv1.ServiceReference{Namespace: "default", Name: "hook", Port: &port})
	c.eventually(t, "the webhook's annotation", func(ctx context.Context) error {
		m, err := c.client.CoreV1().ConfigMaps("default").Create(ctx, hooked("behind-a-service"), metav1.CreateOptions{})
		if err == nil && m.Annotations["hooked"] != "yes" {
			err = fmt.Errorf("annotations %v", m.Annotations)
		}
		return err
	})
	path := "/version"
	c.register(t, "behind-the-server", authority, &admissionregistrationv1.ServiceReference{Namespace: "default", Name: "kubernetes", Path: &path})
	c.eventually(t, "the answer of the API server, which is no webhook", func(ctx context.Context) error {
		_, err := c.client.CoreV1().ConfigMaps("default").Create(ctx, hooked("behind-the-server"), metav1.CreateOptions{})
		switch {
		case err == nil:
			return fmt.Errorf("the webhook was not called")
		case strings.Contains(err.Error(), "transport"):
			t.Fatal(err)
		case !strings.Contains(err.Error(), "failed calling webhook"):
			return err
		}
		return nil
	})
}

func hooked(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "hooked-", Labels: map[string]string{"webhook": name}}}
}

// register registers a webhook for objects with the label of that name.
func (c *cluster) register(t *testing.T, name string, authority []byte, service *admissionregistrationv1.ServiceReference) {
	t.Helper()
	fail, none := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	hooks := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	_, err := hooks.Create(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: name + ".example.com", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"webhook": name}},
			ClientConfig:   admissionregistrationv1.WebhookClientConfig{Service: service, CABundle: authority},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hooks.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

func annotate(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	kind := admissionv1.PatchTypeJSONPatch
	review.Response = &admissionv1.AdmissionResponse{
		UID: review.Request.UID, Allowed: true, PatchType: &kind,
		Patch: []byte(`[{"op":"add","path":"/metadata/annotations","value":{"hooked":"yes"}}]`),
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}
