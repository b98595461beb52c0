package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const settings = `{
	"featureGates": {"ClusterTrustBundle": true, "ContextualLogging": false},
	"runtimeConfig": {"certificates.k8s.io/v1beta1": "true"},
	"apiServer": {
		"args": {"event-ttl": "2h"},
		"admissionPlugins": {"enable": ["AlwaysPullImages"]},
		"auditPolicy": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Request", "namespaces": ["kube-public"]}, {"level": "None"}]},
		"authenticationConfig": {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": []}
	},
	"controllerManager": {"args": {"terminated-pod-gc-threshold": "100"}},
	"scheduler": {"config": {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
		"profiles": [{"schedulerName": "default-scheduler"}, {"schedulerName": "packed"}]}}
}`

func parse(t *testing.T, content string) nodeconfig.Components {
	t.Helper()
	c, err := nodeconfig.ParseComponents([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUsersSettingsOfComponentsAreInForce(t *testing.T) {
	c := start(t, t.TempDir())
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c.settings.Components = parse(t, settings)
	c.run(t)
	c.awaitReady(t)
	if message := c.check(t, c.settings.Components); message != "" {
		t.Errorf("the check refuses settings that work: %s", message)
	}
	if _, err := c.client.CertificatesV1beta1().ClusterTrustBundles().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("an API that is off by default: %v", err)
	}
	document, err := c.client.Discovery().RESTClient().Get().AbsPath("/openapi/v3/apis/certificates.k8s.io/v1beta1").DoRaw(t.Context())
	if err != nil || !strings.Contains(string(document), "ClusterTrustBundleSpec") {
		t.Errorf("OpenAPI of that API: %d bytes, %v", len(document), err)
	}
	c.schedules(t, "packed")
	c.audits(t)
}

// schedules checks that a profile of the scheduler handles a pod, which an admission
// plugin changes.
func (c *cluster) schedules(t *testing.T, profile string) {
	t.Helper()
	c.eventually(t, "the namespace's service account exists", func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	pods := c.client.CoreV1().Pods("default")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod"}, Spec: corev1.PodSpec{
		SchedulerName: profile, Containers: []corev1.Container{{Name: "c", Image: "example.com/image", ImagePullPolicy: corev1.PullNever}},
	}}
	if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the scheduler's profile handles the pod", func(ctx context.Context) error {
		pod, err := pods.Get(ctx, "pod", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if policy := pod.Spec.Containers[0].ImagePullPolicy; policy != corev1.PullAlways {
			t.Errorf("the admission plugin left the policy %s", policy)
		}
		if len(pod.Status.Conditions) == 0 {
			return errors.New("no condition") // there is no node, so it cannot be scheduled
		}
		return nil
	})
}

// audits checks that the audit log follows the user's policy.
func (c *cluster) audits(t *testing.T) {
	t.Helper()
	for namespace, word := range map[string]string{"kube-public": "unmistakable", "default": "overlooked"} {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "words"}, Data: map[string]string{"word": word}}
		if _, err := c.client.CoreV1().ConfigMaps(namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually(t, "the audit log has the request", func(context.Context) error {
		log, err := os.ReadFile(filepath.Join(c.settings.LogDir, "audit.log"))
		if err == nil && !strings.Contains(string(log), "unmistakable") {
			err = fmt.Errorf("it has %d bytes", len(log))
		}
		if strings.Contains(string(log), "overlooked") {
			t.Error("the audit log has what the policy leaves out")
		}
		return err
	})
}

// check returns what is wrong with settings in the words of server.Check, which runs in a
// process of its own beside the one that serves.
func (c *cluster) check(t *testing.T, components nodeconfig.Components) string {
	t.Helper()
	s := c.settings
	s.Components = components
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), childSettings+"="+string(encoded), childChecks+"=yes")
	output, err := process.CombinedOutput()
	if err == nil {
		return ""
	}
	return string(output)
}

func TestSettingsThatDoNotWorkAreFound(t *testing.T) {
	c := start(t, t.TempDir())
	for content, want := range map[string]string{
		`{}`: "",
		`{"featureGates": {"OfAnotherComponent": true}}`:                                      "",
		`{"runtimeConfig": {"no.such.group/v1": "true"}}`:                                     "no.such.group",
		`{"apiServer": {"args": {"event-ttl": "soon"}}}`:                                      "event-ttl",
		`{"apiServer": {"args": {"max-requests-inflight": "-1"}}}`:                            "max-requests-inflight",
		`{"apiServer": {"admissionPlugins": {"enable": ["NoSuchPlugin"]}}}`:                   "NoSuchPlugin",
		`{"apiServer": {"auditPolicy": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}}}`: "audit",
		`{"apiServer": {"authenticationConfig": {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [{"issuer": {"url": "http://a"}}]}}}`: "jwt[0].issuer.url",
		`{"controllerManager": {"args": {"controllers": "no-such-controller"}}}`:                                                                                                 "no-such-controller",
		`{"scheduler": {"config": {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "parallelism": -1}}}`:                                   "parallelism",
	} {
		if got := c.check(t, parse(t, content)); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", content, got, want)
		}
	}
	if err := c.serves(t.Context()); err != nil {
		t.Errorf("after the checks: %v", err)
	}
}
