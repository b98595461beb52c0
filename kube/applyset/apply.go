package applyset

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/skiff-dev/skiff/internal/pause"
)

// Changes counts the objects that were changed.
type Changes struct{ Created, Changed, Deleted int }

// Apply applies the objects of a set and waits until they are ready. known are the sets in
// the cluster, as List returned them; Apply updates the entry of this set. Objects that
// have left the set stay until Prune. notify gets messages for users.
func (c *Client) Apply(ctx context.Context, set Set, known map[string]Recorded, notify func(string)) (Changes, error) {
	a := applier{Client: c, set: set, owners: owners(known, set.Name), notify: notify}
	for _, o := range ordered(set.Objects) {
		a.objects = append(a.objects, o.DeepCopy())
	}
	record := known[set.Name]
	record.Name, record.Source = set.Name, set.Source
	if record.parent == nil || record.Digest != set.Digest() {
		var err error
		if known[set.Name], err = c.record(ctx, record.with(set.placed())); err != nil {
			return a.changes, err
		}
	}
	if err := a.createNamespace(ctx); err != nil {
		return a.changes, err
	}
	// What serves or contains other objects comes first.
	first := slices.IndexFunc(a.objects, func(o *unstructured.Unstructured) bool {
		return rank(o.GroupVersionKind().GroupKind()) > rankDefinition
	})
	if first < 0 {
		first = len(a.objects)
	}
	for _, objects := range [][]*unstructured.Unstructured{a.objects[:first], a.objects[first:]} {
		for _, o := range objects {
			if err := a.apply(ctx, o); err != nil {
				return a.changes, fmt.Errorf("apply %s: %w", Name(o), err)
			}
		}
		if err := a.wait(ctx, objects); err != nil {
			return a.changes, err
		}
	}
	return a.changes, nil
}

// applier applies one set.
type applier struct {
	*Client
	set     Set
	objects []*unstructured.Unstructured
	// owners are the labels of objects that the set may take over.
	owners  []string
	notify  func(string)
	changes Changes
}

// createNamespace creates the namespace of the set unless it exists or is one of its
// objects.
func (a *applier) createNamespace(ctx context.Context) error {
	name := a.set.Namespace
	own := slices.ContainsFunc(a.objects, func(o *unstructured.Unstructured) bool {
		return o.GroupVersionKind().GroupKind() == namespaceKind && o.GetName() == name
	})
	if name == "" || own {
		return nil
	}
	_, err := a.typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	_, err = a.typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// apply applies one object.
func (a *applier) apply(ctx context.Context, o *unstructured.Unstructured) error {
	return a.retry(ctx, func() error {
		client, err := a.client(o, a.set.namespace())
		if err != nil {
			return err
		}
		before, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			before, err = nil, nil
		}
		if err != nil {
			return err
		}
		if err := a.mayTake(before); err != nil {
			return err
		}
		if before != nil && before.GetDeletionTimestamp() != nil {
			a.notify(fmt.Sprintf("waiting for %s to be deleted", Name(o)))
			if err := gone(ctx, client, before); err != nil {
				return err
			}
			before = nil
		}
		after, err := a.patch(ctx, client, o)
		if apierrors.IsInvalid(err) && before != nil && o.GroupVersionKind().GroupKind() == jobKind {
			// The pods of a Job cannot change, so a changed Job is a new one.
			if err := a.delete(ctx, client, before); err != nil {
				return err
			}
			after, err = a.patch(ctx, client, o)
		}
		switch {
		case err != nil:
			return err
		case before == nil:
			a.changes.Created++
		case before.GetResourceVersion() != after.GetResourceVersion():
			a.changes.Changed++
		default:
			return nil
		}
		a.notify("applying " + Name(o))
		return nil
	}, a.notify)
}

// mayTake returns an error if an object belongs to a set of another tool.
func (a *applier) mayTake(o *unstructured.Unstructured) error {
	if o == nil {
		return nil
	}
	if owner := o.GetLabels()[labelPartOf]; owner != "" && !slices.Contains(a.owners, owner) {
		return fmt.Errorf("it belongs to the ApplySet %s of another tool", owner)
	}
	return nil
}

// patch applies an object on the server.
func (a *applier) patch(ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	o = o.DeepCopy()
	o.SetManagedFields(nil) // the server refuses them
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelPartOf] = id(a.set.Name)
	o.SetLabels(labels)
	body, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	validation := metav1.FieldValidationWarn
	if a.set.Strict {
		validation = metav1.FieldValidationStrict
	}
	force := true
	return client.Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: fieldManager, Force: &force, FieldValidation: validation})
}

// delete deletes an object and waits until it is gone.
func (a *applier) delete(ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured) error {
	foreground := metav1.DeletePropagationForeground
	err := client.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground, Preconditions: metav1.NewUIDPreconditions(string(o.GetUID()))})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return gone(ctx, client, o)
}

// gone waits until an object does not exist any more.
func gone(ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured) error {
	for {
		current, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) || err == nil && current.GetUID() != o.GetUID():
			return nil
		case err != nil && !temporary(err):
			return err
		}
		if err := pause.For(ctx, pollEvery); err != nil {
			return &WaitError{Object: Name(o), Message: "it is being deleted", err: err}
		}
	}
}

// WaitError reports which object was waited for when the context ended.
type WaitError struct {
	Object, Message string
	err             error
}

func (e *WaitError) Error() string { return fmt.Sprintf("%s is not ready: %s", e.Object, e.Message) }

// Unwrap returns the context's error.
func (e *WaitError) Unwrap() error { return e.err }

// wait waits until objects are ready.
func (a *applier) wait(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		last := ""
		for {
			message, ok, err := a.state(ctx, o)
			if err != nil {
				return err
			}
			if ok {
				break
			}
			if message != last {
				a.notify(fmt.Sprintf("waiting for %s: %s", Name(o), message))
				last = message
			}
			if err := pause.For(ctx, pollEvery); err != nil {
				return &WaitError{Object: Name(o), Message: message, err: err}
			}
		}
	}
	return nil
}

// state returns whether an object in the cluster is ready.
func (a *applier) state(ctx context.Context, o *unstructured.Unstructured) (message string, ok bool, err error) {
	client, err := a.client(o, o.GetNamespace())
	if err != nil {
		return "", false, err
	}
	current, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && o.GroupVersionKind().GroupKind() == jobKind:
		return "", true, nil // it was complete, and its time to live is over
	case apierrors.IsNotFound(err):
		return "", false, fmt.Errorf("%s was deleted by someone else", Name(o))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), err != nil && temporary(err):
		return oneLine(err.Error()), false, nil
	case err != nil:
		return "", false, fmt.Errorf("read %s: %w", Name(o), err)
	}
	return ready(current)
}
