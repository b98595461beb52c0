package applyset

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// keepPolicy is Helm's annotation of objects that are not deleted with their chart.
const keepPolicy = "helm.sh/resource-policy"

// Prune deletes the objects that have left a set, and records that the set is complete. All
// of its objects must have been applied, in this call of List.
func (c *Client) Prune(ctx context.Context, set Set, known map[string]Recorded, notify func(string)) (Changes, error) {
	record, digest := known[set.Name], set.Digest()
	if record.Digest == digest {
		return Changes{}, nil
	}
	members, err := c.members(ctx, record)
	if err != nil {
		return Changes{}, err
	}
	wanted := set.placed()
	surplus := slices.DeleteFunc(slices.Clone(members), func(o *unstructured.Unstructured) bool {
		return slices.ContainsFunc(wanted, func(w *unstructured.Unstructured) bool { return sameObject(o, w) })
	})
	changes, err := c.remove(ctx, surplus, notify)
	if err != nil {
		return changes, err
	}
	exact := Recorded{Name: set.Name, Source: set.Source, parent: record.parent}.with(wanted)
	exact.Digest = digest
	known[set.Name], err = c.record(ctx, exact)
	return changes, err
}

// sameObject reports whether an object in the cluster is the one that a set describes, whose
// namespace is set even if its kind has none.
func sameObject(o, wanted *unstructured.Unstructured) bool {
	return o.GroupVersionKind().GroupKind() == wanted.GroupVersionKind().GroupKind() && o.GetName() == wanted.GetName() &&
		(o.GetNamespace() == "" || o.GetNamespace() == wanted.GetNamespace())
}

// Remove deletes all objects of a set, and the set.
func (c *Client) Remove(ctx context.Context, set string, known map[string]Recorded, notify func(string)) (Changes, error) {
	record := known[set]
	if record.Digest != "" { // it is not complete any more
		var err error
		if record, err = c.record(ctx, record.with(nil)); err != nil {
			return Changes{}, err
		}
		known[set] = record
	}
	members, err := c.members(ctx, record)
	if err != nil {
		return Changes{}, err
	}
	changes, err := c.remove(ctx, members, notify)
	if err != nil {
		return changes, err
	}
	err = c.typed.CoreV1().ConfigMaps(parentNamespace).Delete(ctx, parentPrefix+set, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return changes, err
	}
	delete(known, set)
	return changes, nil
}

// remove deletes objects in the reverse of the order in which they are applied, and waits
// until they are gone: custom resources need what serves them until then.
func (c *Client) remove(ctx context.Context, objects []*unstructured.Unstructured, notify func(string)) (Changes, error) {
	var changes Changes
	last := ordered(objects)
	slices.Reverse(last)
	for len(last) > 0 {
		level := rank(last[0].GroupVersionKind().GroupKind())
		n := slices.IndexFunc(last, func(o *unstructured.Unstructured) bool { return rank(o.GroupVersionKind().GroupKind()) != level })
		if n < 0 {
			n = len(last)
		}
		deleted, err := c.removeLevel(ctx, last[:n], notify)
		changes.Deleted += deleted
		if err != nil {
			return changes, err
		}
		last = last[n:]
	}
	return changes, nil
}

// removeLevel deletes objects and waits until they are gone.
func (c *Client) removeLevel(ctx context.Context, objects []*unstructured.Unstructured, notify func(string)) (deleted int, err error) {
	background := metav1.DeletePropagationBackground
	var waiting []*unstructured.Unstructured
	for _, o := range objects {
		client, err := c.client(o, o.GetNamespace())
		if err != nil {
			return deleted, err
		}
		if kept(o) {
			if err := c.release(ctx, o); err != nil {
				return deleted, err
			}
			continue
		}
		notify("deleting " + Name(o))
		err = client.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background, Preconditions: metav1.NewUIDPreconditions(string(o.GetUID()))})
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err): // it is a new object of this name
		case err != nil:
			return deleted, fmt.Errorf("delete %s: %w", Name(o), err)
		default:
			deleted++
			waiting = append(waiting, o)
		}
	}
	for _, o := range waiting {
		client, err := c.client(o, o.GetNamespace())
		if err != nil {
			return deleted, err
		}
		if err := gone(ctx, client, o); err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// kept reports whether an object stays in the cluster when it leaves its set.
func kept(o *unstructured.Unstructured) bool {
	if o.GroupVersionKind().GroupKind() == namespaceKind {
		switch o.GetName() {
		case metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, "kube-node-lease":
			return true // the server does not delete them
		}
	}
	return o.GetAnnotations()[keepPolicy] == "keep"
}

// release removes the label of a set from an object.
func (c *Client) release(ctx context.Context, o *unstructured.Unstructured) error {
	client, err := c.client(o, o.GetNamespace())
	if err != nil {
		return err
	}
	patch := []byte(`{"metadata":{"labels":{"` + labelPartOf + `":null}}}`)
	_, err = client.Patch(ctx, o.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("keep %s: %w", Name(o), err)
	}
	return nil
}
