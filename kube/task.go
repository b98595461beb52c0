package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/drain"
	"k8s.io/kubectl/pkg/polymorphichelpers"
	"k8s.io/kubectl/pkg/scheme"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// drainLimit is how long draining a node may take.
const drainLimit = 5 * time.Minute

// Do carries out a task on each object in turn and reports the results to out.
// It continues after an error and returns all errors joined. The server checks a dry
// run as it would check the task, and changes nothing.
func (c *Client) Do(ctx context.Context, task feed.Task, out io.Writer) error {
	action, ok := map[feed.Verb]func(context.Context, object.Ref, feed.Task, io.Writer) error{
		feed.VerbDelete: c.delete, feed.VerbKill: c.kill, feed.VerbScale: c.scale,
		feed.VerbRestart: c.restart, feed.VerbUndo: c.undo,
		feed.VerbCordon: c.cordon, feed.VerbUncordon: c.uncordon, feed.VerbDrain: c.drain,
		feed.VerbTrigger: c.trigger, feed.VerbSuspend: c.suspend, feed.VerbCopy: c.copy,
	}[task.Verb]
	if !ok {
		return fmt.Errorf("unknown action %q", task.Verb)
	}
	if task.DryRun && task.Verb == feed.VerbCopy {
		return fmt.Errorf("%s has no dry run", task.Verb)
	}
	var failed []error
	for _, ref := range task.Refs {
		if err := action(ctx, ref, task, out); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", task.Verb, ref, err))
		}
	}
	return errors.Join(failed...)
}

func (c *Client) delete(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	background := metav1.DeletePropagationBackground
	err := c.remove(ctx, ref, metav1.DeleteOptions{PropagationPolicy: &background, DryRun: dryRun(task.DryRun)})
	if err == nil {
		fmt.Fprintf(out, "%s is being deleted\n", ref)
	}
	return err
}

func (c *Client) kill(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	now := int64(0)
	err := c.remove(ctx, ref, metav1.DeleteOptions{GracePeriodSeconds: &now, DryRun: dryRun(task.DryRun)})
	if err == nil {
		fmt.Fprintf(out, "%s force deleted\n", ref)
	}
	return err
}

// remove deletes the object that ref names, if it is still the one that the user saw.
func (c *Client) remove(ctx context.Context, ref object.Ref, options metav1.DeleteOptions) error {
	if ref.UID != "" {
		options.Preconditions = metav1.NewUIDPreconditions(ref.UID)
	}
	err := c.resourceClient(ref).Delete(ctx, ref.Name, options)
	if ref.UID != "" && apierrors.IsConflict(err) {
		return fmt.Errorf("it was deleted and created again in the meantime: %w", err)
	}
	return err
}

// dryRun returns the value of the DryRun option of a request.
func dryRun(enabled bool) []string {
	if enabled {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// strategy is dryRun for kubectl's own packages.
func strategy(enabled bool) util.DryRunStrategy {
	if enabled {
		return util.DryRunServer
	}
	return util.DryRunNone
}

func (c *Client) patch(ctx context.Context, ref object.Ref, task feed.Task, patch any, subresources ...string) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = c.resourceClient(ref).Patch(ctx, ref.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: c.config.UserAgent, DryRun: dryRun(task.DryRun)}, subresources...)
	return err
}

func (c *Client) scale(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	replicas, err := strconv.ParseInt(task.Args["replicas"], 10, 32)
	if err != nil || replicas < 0 {
		return fmt.Errorf("invalid number of replicas %q: use 0 or more", task.Args["replicas"])
	}
	err = c.patch(ctx, ref, task, map[string]any{"spec": map[string]any{"replicas": replicas}}, "scale")
	if err == nil {
		replica := map[bool]string{true: "replica", false: "replicas"}[replicas == 1]
		fmt.Fprintf(out, "%s scaled to %d %s\n", ref, replicas, replica)
	}
	return err
}

// restartedAt is the annotation that kubectl sets to restart a workload.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

func (c *Client) restart(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	annotations := map[string]any{restartedAt: time.Now().Format(time.RFC3339)}
	err := c.patch(ctx, ref, task, map[string]any{"spec": map[string]any{
		"template": map[string]any{"metadata": map[string]any{"annotations": annotations}},
	}})
	if err == nil {
		fmt.Fprintf(out, "%s restarted\n", ref)
	}
	return err
}

func (c *Client) undo(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	var revision int64
	if text := task.Args["revision"]; text != "" {
		var err error
		if revision, err = strconv.ParseInt(text, 10, 64); err != nil {
			return fmt.Errorf("invalid revision %q: use a number", text)
		}
	}
	rollbacker, err := polymorphichelpers.RollbackerFor(schema.GroupKind{Group: ref.Resource.Group, Kind: ref.Resource.Kind}, c.typed)
	if err != nil {
		return err
	}
	o, err := c.resourceClient(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	typed, err := scheme.Scheme.New(o.GroupVersionKind())
	if err != nil {
		return err
	}
	if err := scheme.Scheme.Convert(o, typed, nil); err != nil {
		return fmt.Errorf("read %s: %w", ref, err)
	}
	message, err := callWithContext(ctx, func() (string, error) {
		return rollbacker.Rollback(typed, nil, revision, strategy(task.DryRun))
	})
	if err == nil {
		fmt.Fprintf(out, "%s: %s\n", ref, oneLine(message))
	}
	return err
}

func (c *Client) cordon(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	return c.setSchedulable(ctx, ref, task, false, out)
}

func (c *Client) uncordon(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	return c.setSchedulable(ctx, ref, task, true, out)
}

func (c *Client) setSchedulable(ctx context.Context, ref object.Ref, task feed.Task, schedulable bool, out io.Writer) error {
	node, err := c.typed.CoreV1().Nodes().Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	// drain.RunCordonOrUncordon has no dry run.
	change := drain.NewCordonHelper(node)
	if change.UpdateIfRequired(!schedulable) {
		if err, patchErr := change.PatchOrReplaceWithContext(ctx, c.typed, task.DryRun); err != nil {
			return errors.Join(err, patchErr)
		}
	}
	fmt.Fprintf(out, "%s %s\n", ref, map[bool]string{true: "uncordoned", false: "cordoned"}[schedulable])
	return nil
}

func (c *Client) drainHelper(ctx context.Context, out io.Writer) *drain.Helper {
	return &drain.Helper{
		Ctx: ctx, Client: c.typed, Out: out, ErrOut: out, GracePeriodSeconds: -1, Timeout: drainLimit,
		IgnoreAllDaemonSets: true, DeleteEmptyDirData: true, Force: true, ChunkSize: 500,
		OnPodDeletionOrEvictionFinished: func(pod *corev1.Pod, _ bool, err error) {
			if err != nil {
				fmt.Fprintf(out, "cannot evict pod %s/%s: %s\n", pod.Namespace, pod.Name, Reason(err))
				return
			}
			fmt.Fprintf(out, "pod %s/%s evicted\n", pod.Namespace, pod.Name)
		},
	}
}

func (c *Client) drain(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	if err := c.setSchedulable(ctx, ref, task, false, out); err != nil {
		return err
	}
	if task.DryRun {
		return nil // Affected lists the pods
	}
	if err := drain.RunNodeDrain(c.drainHelper(ctx, out), ref.Name); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s drained\n", ref)
	return nil
}

func (c *Client) trigger(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	cron, err := c.typed.BatchV1().CronJobs(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	annotations := map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}
	for k, v := range cron.Spec.JobTemplate.Annotations {
		annotations[k] = v
	}
	job, err := c.typed.BatchV1().Jobs(ref.Namespace).Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: ref.Name[:min(len(ref.Name), 50)] + "-manual-", Labels: cron.Spec.JobTemplate.Labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
		},
		Spec: cron.Spec.JobTemplate.Spec,
	}, metav1.CreateOptions{DryRun: dryRun(task.DryRun)})
	if err == nil {
		fmt.Fprintf(out, "job %s/%s created\n", job.Namespace, job.Name)
	}
	return err
}

func (c *Client) suspend(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	cron, err := c.typed.BatchV1().CronJobs(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	suspended := cron.Spec.Suspend == nil || !*cron.Spec.Suspend
	if err = c.patch(ctx, ref, task, map[string]any{"spec": map[string]any{"suspend": suspended}}); err == nil {
		fmt.Fprintf(out, "%s %s\n", ref, map[bool]string{true: "suspended", false: "resumed"}[suspended])
	}
	return err
}
