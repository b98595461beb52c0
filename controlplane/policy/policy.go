// Package policy creates upstream's bootstrap policy: the roles and bindings of
// Kubernetes' own parts and the system priority classes. Upstream's start hooks do it
// one object at a time and a second later. Here existing objects are listed at once
// and missing ones created concurrently, so that an existing cluster is ready without
// a write.
package policy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	schedulingv1 "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

const (
	// retryPeriod is how long Ensure waits before it tries again.
	retryPeriod = 100 * time.Millisecond
	// timeout is upstream's limit for the same work.
	timeout = 30 * time.Second
	// writers is the number of objects written at once, so that etcd flushes its log
	// for many of them together.
	writers = 16
)

// Ensure creates or corrects the policy's objects, and returns when all are there or
// ctx ends. Rules and subjects that users added stay, and objects that users protect
// (annotation rbac.authorization.kubernetes.io/autoupdate=false) are not changed.
func Ensure(ctx context.Context, client *rest.Config) error {
	c, err := kubernetes.NewForConfig(client)
	if err != nil {
		return fmt.Errorf("make the policy client: %w", err)
	}
	var failure error
	err = wait.PollUntilContextTimeout(ctx, retryPeriod, timeout, true, func(ctx context.Context) (bool, error) {
		failure = ensure(ctx, c)
		return failure == nil, nil
	})
	if err != nil {
		return fmt.Errorf("ensure the bootstrap policy: %w", errors.Join(failure, err))
	}
	return nil
}

func ensure(ctx context.Context, client kubernetes.Interface) error {
	existing, err := read(ctx, client)
	if err != nil {
		return err
	}
	var work []func() error
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		work = append(work, reconcileRole(reconciliation.ClusterRoleRuleOwner{ClusterRole: &role}, existing.clusterRoles))
	}
	for _, roles := range bootstrappolicy.NamespaceRoles() {
		for _, role := range roles {
			work = append(work, reconcileRole(reconciliation.RoleRuleOwner{Role: &role}, existing.roles))
		}
	}
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		work = append(work, reconcileBinding(reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: &binding}, existing.clusterBindings))
	}
	for _, bindings := range bootstrappolicy.NamespaceRoleBindings() {
		for _, binding := range bindings {
			work = append(work, reconcileBinding(reconciliation.RoleBindingAdapter{RoleBinding: &binding}, existing.bindings))
		}
	}
	for _, class := range schedulingv1.SystemPriorityClasses() {
		if !existing.priorityClasses[class.Name] {
			work = append(work, func() error {
				_, err := client.SchedulingV1().PriorityClasses().Create(ctx, class, metav1.CreateOptions{})
				return named(ignoreExists(err), "priority class", class.Name)
			})
		}
	}
	return concurrently(work)
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func named(err error, kind, name string) error {
	if err != nil {
		return fmt.Errorf("ensure %s %s: %w", kind, name, err)
	}
	return nil
}

// concurrently calls all functions, at most writers at once.
func concurrently(work []func() error) error {
	errs := make([]error, len(work))
	next := make(chan int)
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for i := range next {
				errs[i] = work[i]()
			}
		})
	}
	for i := range work {
		next <- i
	}
	close(next)
	running.Wait()
	return errors.Join(errs...)
}

// state is the objects that exist already.
type state struct {
	clusterRoles, roles       knownRoles
	clusterBindings, bindings knownBindings
	priorityClasses           map[string]bool
}

func read(ctx context.Context, client kubernetes.Interface) (state, error) {
	api := client.RbacV1()
	s := state{
		clusterRoles:    knownRoles{RuleOwnerModifier: reconciliation.ClusterRoleModifier{Client: api.ClusterRoles()}, known: map[string]reconciliation.RuleOwner{}},
		roles:           knownRoles{RuleOwnerModifier: reconciliation.RoleModifier{Client: api, NamespaceClient: client.CoreV1().Namespaces()}, known: map[string]reconciliation.RuleOwner{}},
		clusterBindings: knownBindings{RoleBindingModifier: reconciliation.ClusterRoleBindingClientAdapter{Client: api.ClusterRoleBindings()}, known: map[string]reconciliation.RoleBinding{}},
		bindings:        knownBindings{RoleBindingModifier: reconciliation.RoleBindingClientAdapter{Client: api, NamespaceClient: client.CoreV1().Namespaces()}, known: map[string]reconciliation.RoleBinding{}},
		priorityClasses: map[string]bool{},
	}
	clusterRoles, err := api.ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		return s, fmt.Errorf("list cluster roles: %w", err)
	}
	for i := range clusterRoles.Items {
		s.clusterRoles.known[key("", clusterRoles.Items[i].Name)] = reconciliation.ClusterRoleRuleOwner{ClusterRole: &clusterRoles.Items[i]}
	}
	clusterBindings, err := api.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return s, fmt.Errorf("list cluster role bindings: %w", err)
	}
	for i := range clusterBindings.Items {
		s.clusterBindings.known[key("", clusterBindings.Items[i].Name)] = reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: &clusterBindings.Items[i]}
	}
	if err := s.readNamespaced(ctx, client); err != nil {
		return s, err
	}
	classes, err := client.SchedulingV1().PriorityClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return s, fmt.Errorf("list priority classes: %w", err)
	}
	for _, c := range classes.Items {
		s.priorityClasses[c.Name] = true
	}
	return s, nil
}

func (s state) readNamespaced(ctx context.Context, client kubernetes.Interface) error {
	roles, err := client.RbacV1().Roles("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list roles: %w", err)
	}
	for i, r := range roles.Items {
		s.roles.known[key(r.Namespace, r.Name)] = reconciliation.RoleRuleOwner{Role: &roles.Items[i]}
	}
	bindings, err := client.RbacV1().RoleBindings("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list role bindings: %w", err)
	}
	for i, b := range bindings.Items {
		s.bindings.known[key(b.Namespace, b.Name)] = reconciliation.RoleBindingAdapter{RoleBinding: &bindings.Items[i]}
	}
	return nil
}

func key(namespace, name string) string { return namespace + "/" + name }

// knownRoles answers reads from the list, and after a conflict from the API.
type knownRoles struct {
	reconciliation.RuleOwnerModifier
	known map[string]reconciliation.RuleOwner
	fresh bool
}

// Get implements reconciliation.RuleOwnerModifier.
func (k knownRoles) Get(namespace, name string) (reconciliation.RuleOwner, error) {
	if k.fresh {
		return k.RuleOwnerModifier.Get(namespace, name)
	}
	if role, ok := k.known[key(namespace, name)]; ok {
		return role, nil
	}
	return nil, notFound("roles", name)
}

// knownBindings is knownRoles for bindings.
type knownBindings struct {
	reconciliation.RoleBindingModifier
	known map[string]reconciliation.RoleBinding
	fresh bool
}

// Get implements reconciliation.RoleBindingModifier.
func (k knownBindings) Get(namespace, name string) (reconciliation.RoleBinding, error) {
	if k.fresh {
		return k.RoleBindingModifier.Get(namespace, name)
	}
	if binding, ok := k.known[key(namespace, name)]; ok {
		return binding, nil
	}
	return nil, notFound("rolebindings", name)
}

func notFound(resource, name string) error {
	return apierrors.NewNotFound(schema.GroupResource{Group: rbacv1.GroupName, Resource: resource}, name)
}

// again reports whether to try again: another control plane was faster, or the server
// cannot write yet.
func again(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsServiceUnavailable(err)
}

func reconcileRole(role reconciliation.RuleOwner, known knownRoles) func() error {
	return func() error {
		err := retry.OnError(retry.DefaultBackoff, again, func() error {
			o := reconciliation.ReconcileRoleOptions{Role: role, Client: known, Confirm: true}
			_, err := o.Run()
			known.fresh = true
			return err
		})
		return named(err, "role", role.GetName())
	}
}

func reconcileBinding(binding reconciliation.RoleBinding, known knownBindings) func() error {
	return func() error {
		err := retry.OnError(retry.DefaultBackoff, again, func() error {
			o := reconciliation.ReconcileRoleBindingOptions{RoleBinding: binding, Client: known, Confirm: true}
			_, err := o.Run()
			known.fresh = true
			return err
		})
		return named(err, "role binding", binding.GetName())
	}
}
