package controllers

import (
	"context"
	"fmt"

	"k8s.io/client-go/util/keyutil"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllernames "k8s.io/kubernetes/cmd/kube-controller-manager/names"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	serviceaccountcontroller "k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/serviceaccount"

	"github.com/skiff-dev/skiff/controlplane/reload"
)

// trust is what the controllers in this file hand out.
type trust struct {
	authorities []byte
	tokens      serviceaccount.TokenGenerator
}

// trusting are the controllers that hand out the cluster's authorities or sign tokens.
// Upstream's read both only when they start, so they are started again when the host has
// replaced the files.
type trusting struct {
	files *reload.Value[trust]
	build func(context.Context, trust) (func(context.Context), error)
	first func(context.Context) // built before the informers started
}

// trustingControllers returns the names of the controllers that trusting replaces.
func trustingControllers() []string {
	return []string{controllernames.ServiceAccountTokenController, controllernames.RootCACertificatePublisherController}
}

// openTrusting builds the controllers. Their informers must be started after that.
func openTrusting(ctx context.Context, shared app.ControllerContext, root clients) (*trusting, error) {
	publishes := shared.IsControllerEnabled(app.NewControllerDescriptors()[controllernames.RootCACertificatePublisherController])
	o := shared.ComponentConfig.SAController
	files, err := reload.Open(parseTrust, o.RootCAFile, o.ServiceAccountKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authorities: %w", err)
	}
	t := &trusting{files: files}
	t.build = func(ctx context.Context, now trust) (func(context.Context), error) {
		tokens, err := tokenController(ctx, shared, root, now)
		if err != nil {
			return nil, err
		}
		if !publishes {
			return func(ctx context.Context) { tokens.Run(ctx, tokenWorkers) }, nil
		}
		publisher, err := publisherOf(shared, now)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				publisher.Run(ctx, publisherWorkers)
			}()
			tokens.Run(ctx, tokenWorkers)
			<-ended
		}, nil
	}
	t.first, err = t.build(ctx, files.Get())
	return t, err
}

func parseTrust(contents [][]byte) (trust, error) {
	key, err := keyutil.ParsePrivateKeyPEM(contents[1])
	if err != nil {
		return trust{}, fmt.Errorf("parse the service account key: %w", err)
	}
	generator, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, key)
	if err != nil {
		return trust{}, fmt.Errorf("make the token generator: %w", err)
	}
	return trust{contents[0], generator}, nil
}

// run runs the controllers until ctx ends.
func (t *trusting) run(ctx context.Context) {
	err := t.files.Restarting(ctx, func(ctx context.Context, now trust) error {
		run := t.first
		if t.first = nil; run == nil {
			var err error
			if run, err = t.build(ctx, now); err != nil {
				return err
			}
		}
		run(ctx)
		return nil
	})
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to start controllers again with other authorities")
	}
}

// tokenController returns the controller that fills secrets of the legacy service
// account token type. Upstream's own constructor of it is not exported.
func tokenController(ctx context.Context, shared app.ControllerContext, root clients, now trust) (*serviceaccountcontroller.TokensController, error) {
	client, err := root.Client("tokens-controller")
	if err != nil {
		return nil, fmt.Errorf("make the token controller's client: %w", err)
	}
	tokens, err := serviceaccountcontroller.NewTokensController(
		klog.FromContext(ctx),
		shared.InformerFactory.Core().V1().ServiceAccounts(),
		shared.InformerFactory.Core().V1().Secrets(),
		client,
		serviceaccountcontroller.TokensControllerOptions{TokenGenerator: now.tokens, RootCA: now.authorities},
	)
	if err != nil {
		return nil, fmt.Errorf("build the token controller: %w", err)
	}
	return tokens, nil
}

// publisherOf returns the controller that keeps the ConfigMap kube-root-ca.crt in every
// namespace.
func publisherOf(shared app.ControllerContext, now trust) (*rootcacertpublisher.Publisher, error) {
	client, err := shared.NewClient("root-ca-cert-publisher")
	if err != nil {
		return nil, fmt.Errorf("make the client of the publisher of authorities: %w", err)
	}
	core := shared.InformerFactory.Core().V1()
	publisher, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), client, now.authorities)
	if err != nil {
		return nil, fmt.Errorf("build the publisher of authorities: %w", err)
	}
	return publisher, nil
}
