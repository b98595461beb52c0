package controllers

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	informerscore "k8s.io/client-go/informers/core"
	informerscorev1 "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllernames "k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/skiff-dev/skiff/internal/names"
)

// podRangeControllers returns the names of the controllers that must not know simulated
// nodes: a cluster has a range of pod addresses for 256 nodes, which those with machines
// need.
func podRangeControllers() []string { return []string{controllernames.NodeIpamController} }

// withoutSimulated returns shared with informers that hide simulated nodes from handlers.
func withoutSimulated(shared app.ControllerContext) app.ControllerContext {
	shared.InformerFactory = realFactory{shared.InformerFactory}
	return shared
}

type realFactory struct {
	informers.SharedInformerFactory
}

// Core implements informers.SharedInformerFactory.
func (f realFactory) Core() informerscore.Interface { return realCore{f.SharedInformerFactory.Core()} }

type realCore struct{ informerscore.Interface }

// V1 implements core.Interface.
func (c realCore) V1() informerscorev1.Interface { return realCoreV1{c.Interface.V1()} }

type realCoreV1 struct{ informerscorev1.Interface }

// Nodes implements v1.Interface.
func (c realCoreV1) Nodes() nodeInformer { return realNodes{c.Interface.Nodes()} }

type realNodes struct{ nodeInformer }

// Informer implements v1.NodeInformer.
func (n realNodes) Informer() cache.SharedIndexInformer {
	return realInformer{n.nodeInformer.Informer()}
}

type realInformer struct{ cache.SharedIndexInformer }

// AddEventHandler implements cache.SharedInformer.
func (i realInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandler(cache.FilteringResourceEventHandler{FilterFunc: isReal, Handler: handler})
}

// AddEventHandlerWithOptions implements cache.SharedInformer.
func (i realInformer) AddEventHandlerWithOptions(handler cache.ResourceEventHandler, o cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithOptions(cache.FilteringResourceEventHandler{FilterFunc: isReal, Handler: handler}, o)
}

// isReal reports whether a node, or what is left of a deleted one, is not simulated.
func isReal(object any) bool {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	node, err := meta.Accessor(object)
	return err != nil || !names.Simulated(node.GetLabels())
}
