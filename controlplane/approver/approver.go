// Package approver approves kubelets' requests for serving certificates that hold
// only names and addresses of the node, and denies others. It approves no client
// certificates: the host hands those out.
package approver

import (
	"context"
	"fmt"
	"log/slog"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/inventory"
	"github.com/skiff-dev/skiff/controlplane/reconcile"
)

// Settings configure the approver.
type Settings struct {
	Client    *rest.Config
	Inventory inventory.Inventory
	Log       *slog.Logger
}

// Run decides requests until ctx ends.
func Run(ctx context.Context, s Settings) error {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the approver's client: %w", err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeletServingSignerName).String()
	}))
	return reconcile.Run(ctx, reconcile.Settings{
		Kind:     "certificate request",
		Informer: factory.Certificates().V1().CertificateSigningRequests().Informer(),
		Needs: func(object metav1.Object) bool {
			r, ok := object.(*certificatesv1.CertificateSigningRequest)
			return ok && len(r.Status.Conditions) == 0
		},
		Settle: func(ctx context.Context, name string) (bool, error) { return decide(ctx, client, s, name) },
		Log:    s.Log,
	})
}

// decide decides one request. It is settled once anybody has decided it.
func decide(ctx context.Context, client kubernetes.Interface, s Settings, name string) (settled bool, err error) {
	requests := client.CertificatesV1().CertificateSigningRequests()
	r, err := requests.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read certificate request: %w", err)
	}
	if len(r.Status.Conditions) > 0 {
		return true, nil
	}
	node, err := nodeOf(ctx, client, r)
	if err != nil {
		return false, err
	}
	d := Decide(r.Spec, node, s.Inventory)
	condition := certificatesv1.CertificateSigningRequestCondition{Status: corev1.ConditionTrue, Message: d.Reason}
	switch d.Verdict {
	case Approve:
		condition.Type, condition.Reason = certificatesv1.CertificateApproved, "SkiffApproved"
	case Deny:
		condition.Type, condition.Reason = certificatesv1.CertificateDenied, "SkiffDenied"
		s.Log.Warn("certificate request denied", "request", name, "requester", r.Spec.Username, "reason", d.Reason)
	default:
		return false, nil
	}
	r.Status.Conditions = append(r.Status.Conditions, condition)
	if _, err := requests.UpdateApproval(ctx, name, r, metav1.UpdateOptions{}); err != nil {
		return false, fmt.Errorf("update the approval of a certificate request: %w", err)
	}
	return true, nil
}

func nodeOf(ctx context.Context, client kubernetes.Interface, r *certificatesv1.CertificateSigningRequest) (*corev1.Node, error) {
	name, ok := NodeName(r.Spec)
	if !ok {
		return nil, nil
	}
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", name, err)
	}
	return node, nil
}
