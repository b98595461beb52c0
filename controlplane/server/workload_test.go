package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func (c *cluster) deployment(t *testing.T) {
	labels := map[string]string{"app": "web"}
	replicas := int32(3)
	_, err := c.client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "three pods that the scheduler looked at", func(ctx context.Context) error {
		pods, err := c.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil || len(pods.Items) != 3 {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		for _, p := range pods.Items {
			if len(p.Status.Conditions) == 0 {
				return fmt.Errorf("pod %s was not scheduled", p.Name)
			}
			if seconds := p.Spec.Tolerations[0].TolerationSeconds; seconds == nil || *seconds != 30 {
				t.Fatalf("pod stays on a lost node for %v seconds", seconds)
			}
		}
		return nil
	})
}

func (c *cluster) node(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	_, err := c.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func (c *cluster) roleLabel(t *testing.T) {
	c.node(t, "worker-1", map[string]string{"skiff.dev/role": "worker", corev1.LabelHostname: "worker-1"})
	c.eventually(t, "the role's label", func(ctx context.Context) error {
		n, err := c.client.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		if err == nil {
			if _, ok := n.Labels["node-role.kubernetes.io/worker"]; !ok {
				err = fmt.Errorf("labels %v", n.Labels)
			}
		}
		return err
	})
}

func (c *cluster) podRange(t *testing.T) {
	c.eventually(t, "a /24 of the pods' range", func(ctx context.Context) error {
		n, err := c.client.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		p, err := netip.ParsePrefix(n.Spec.PodCIDR)
		if err != nil || p.Bits() != 24 || !c.settings.Node.Kubernetes.PodCIDR.Contains(p.Addr()) {
			return fmt.Errorf("pod range %q, %w", n.Spec.PodCIDR, err)
		}
		return nil
	})
}

func (c *cluster) volume(t *testing.T) {
	claims := c.client.CoreV1().PersistentVolumeClaims("default")
	_, err := claims.Create(t.Context(), &corev1.PersistentVolumeClaim{
		// The annotation is the scheduler's, which has no ready node here.
		ObjectMeta: metav1.ObjectMeta{Name: "data", Annotations: map[string]string{"volume.kubernetes.io/selected-node": "worker-1"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var name string
	c.eventually(t, "the claim is bound", func(ctx context.Context) error {
		claim, err := claims.Get(ctx, "data", metav1.GetOptions{})
		if err != nil || claim.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("claim is %s, %w", claim.Status.Phase, err)
		}
		name = claim.Spec.VolumeName
		return nil
	})
	v, err := c.client.CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil || v.Spec.Local == nil || v.Spec.Local.Path != "/var/lib/skiff/volumes/"+name {
		t.Fatalf("%+v, %v", v.Spec, err)
	}
	// No agent runs here: once its node is gone the volume may go as well.
	if err := claims.Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the volume waits for its node's agent", func(ctx context.Context) error {
		v, err := c.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
		if err == nil && v.DeletionTimestamp == nil {
			err = fmt.Errorf("volume is %s", v.Status.Phase)
		}
		return err
	})
	if err := c.client.CoreV1().Nodes().Delete(t.Context(), "worker-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the volume of a lost node is gone", func(ctx context.Context) error {
		_, err := c.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("volume is there, %w", err)
	})
}

func (c *cluster) apply(t *testing.T) {
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"a":"1"}}`
	m, err := c.client.CoreV1().ConfigMaps("default").Patch(t.Context(), "applied", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "test"})
	if err != nil || m.Data["a"] != "1" || len(m.ManagedFields) != 1 || m.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Fatalf("%+v, %v", m, err)
	}
}

const boats = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"boats.example.com"},
"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"boats","singular":"boat","kind":"Boat"},
"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"length":{"type":"integer"}}}}}}}]}}`

func (c *cluster) openAPI(t *testing.T) {
	raw := c.client.Discovery().RESTClient()
	if err := raw.Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").SetHeader("Content-Type", "application/json").Body([]byte(boats)).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/openapi/v3/apis/apps/v1":                   "io.k8s.api.apps.v1.Deployment",
		"/openapi/v3/apis/example.com/v1":            "com.example.v1.Boat",
		"/openapi/v3/apis/apiregistration.k8s.io/v1": "APIService",
		"/openapi/v3/apis/apiextensions.k8s.io/v1":   "CustomResourceDefinition",
	} {
		c.eventually(t, path, func(ctx context.Context) error {
			content, err := raw.Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(ctx)
			if err == nil && !strings.Contains(string(content), want) {
				err = fmt.Errorf("no %s in it", want)
			}
			return err
		})
	}
	c.eventually(t, "/openapi/v2 with all of it", func(ctx context.Context) error {
		content, err := raw.Get().AbsPath("/openapi/v2").SetHeader("Accept", "application/json").DoRaw(ctx)
		if err != nil {
			return err
		}
		var document struct {
			Definitions map[string]any `json:"definitions"`
		}
		if err := json.Unmarshal(content, &document); err != nil {
			return err
		}
		for _, name := range []string{"io.k8s.api.apps.v1.Deployment", "com.example.v1.Boat", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService"} {
			if document.Definitions[name] == nil {
				return fmt.Errorf("no %s", name)
			}
		}
		return nil
	})
}
