package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// action is the body of a request to act on an object.
type action struct {
	// Kind is a resource's ID or name: "deployments.apps".
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// DryRun asks for what the action would affect, and changes nothing.
	DryRun bool `json:"dryRun"`
	// Replicas to scale to.
	Replicas *int32 `json:"replicas"`
	// Revision to roll back to; the previous one if 0.
	Revision int64 `json:"revision"`
	// YAML is a manifest to apply; Force takes over fields of other managers.
	YAML  string `json:"yaml"`
	Force bool   `json:"force"`
	// Version of the object that the user saw, of which only the UID counts for a deletion.
	kube.Version
	// Original is what YAML was made from, and Current what the object is now, to merge.
	Original string `json:"original"`
	Current  string `json:"current"`
}

// done is the result of an action.
type done struct {
	Message string `json:"message"`
	// Affected lists, for a dry run, what the action affects, one line each.
	Affected []string `json:"affected,omitempty"`
	// Objects are those of an applied manifest.
	Objects []kube.Applied `json:"objects,omitempty"`
}

// maxManifest bounds the body of an action, in bytes.
const maxManifest = 4 << 20

var (
	workloads = []string{"deployments.apps", "statefulsets.apps", "daemonsets.apps"}
	nodes     = []string{"nodes"}
)

// verbs are the actions on one object by name, and the resources that they work on; any
// if there are none.
var verbs = map[string]struct {
	verb  feed.Verb
	kinds []string
}{
	"scale": {feed.VerbScale, nil}, "delete": {feed.VerbDelete, nil}, "restart": {feed.VerbRestart, workloads},
	"rollback": {feed.VerbUndo, workloads}, "cordon": {feed.VerbCordon, nodes}, "uncordon": {feed.VerbUncordon, nodes},
	"drain": {feed.VerbDrain, nodes}, "trigger": {feed.VerbTrigger, []string{"cronjobs.batch"}}, "suspend": {feed.VerbSuspend, []string{"cronjobs.batch"}},
}

func (s *Server) postAction(w http.ResponseWriter, r *http.Request, session *session) {
	var a action
	if err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, maxManifest), &a); err != nil {
		fail(w, http.StatusBadRequest, "read the action: "+err.Error(), "")
		return
	}
	name := r.PathValue("action")
	switch name {
	case "apply":
		s.apply(w, r, session, a)
		return
	case "merge":
		merged, err := kube.Merge(a.Original, a.YAML, a.Current)
		if err != nil {
			fail(w, http.StatusBadRequest, kube.Reason(err), "")
			return
		}
		jsonhttp.Write(w, merged)
		return
	}
	known, ok := verbs[name]
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("no action named %q", name), "")
		return
	}
	task := feed.Task{Verb: known.verb, DryRun: a.DryRun, Args: map[string]string{}}
	ref, status, err := a.ref(r.Context(), session.client, s.config.Cluster)
	if err != nil {
		fail(w, status, kube.Reason(err), "")
		return
	}
	if len(known.kinds) > 0 && !slices.Contains(known.kinds, ref.Resource.ID()) {
		fail(w, http.StatusBadRequest, fmt.Sprintf("cannot %s %s", name, ref.Resource.ID()), "it works on "+strings.Join(known.kinds, ", "))
		return
	}
	switch {
	case task.Verb == feed.VerbScale && (a.Replicas == nil || *a.Replicas < 0):
		fail(w, http.StatusBadRequest, "replicas must be 0 or more", "")
		return
	case task.Verb == feed.VerbScale:
		task.Args["replicas"] = strconv.Itoa(int(*a.Replicas))
	case a.Revision < 0:
		fail(w, http.StatusBadRequest, "revision must not be negative", "")
		return
	case a.Revision > 0:
		task.Args["revision"] = strconv.FormatInt(a.Revision, 10)
	}
	task.Refs = []object.Ref{ref}
	if task.Verb == feed.VerbDrain && !a.DryRun {
		stream(w, func(out io.Writer) error { return session.client.Do(r.Context(), task, out) })
		return
	}
	result, err := act(r.Context(), session.client, task)
	if err != nil {
		failKubernetes(w, err)
		return
	}
	jsonhttp.Write(w, result)
}

// ref returns the object that the action names. The status belongs to the error.
func (a action) ref(ctx context.Context, client *kube.Client, cluster string) (ref object.Ref, status int, err error) {
	if a.Kind == "" || a.Name == "" {
		return ref, http.StatusBadRequest, errors.New("kind and name are required")
	}
	// They become parts of paths.
	if strings.ContainsAny(a.Name+a.Namespace, "/%") || a.Name == "." || a.Name == ".." || a.Namespace == "." || a.Namespace == ".." {
		return ref, http.StatusBadRequest, errors.New("invalid name")
	}
	resource, err := client.Resource(ctx, a.Kind)
	if err != nil {
		return ref, http.StatusBadRequest, err
	}
	if resource.Namespaced == (a.Namespace == "") {
		return ref, http.StatusBadRequest, fmt.Errorf("%s: namespace is missing, or the object has none", resource.ID())
	}
	return object.Ref{Cluster: cluster, Resource: resource, Namespace: a.Namespace, Name: a.Name, UID: a.UID}, 0, nil
}

// act carries out a task, or finds out what it affects.
func act(ctx context.Context, client *kube.Client, task feed.Task) (done, error) {
	var result done
	if task.DryRun { // before the request, which may fail for a reason of its own
		var err error
		if result.Affected, err = client.Affected(ctx, task); err != nil {
			return result, err
		}
	}
	var out strings.Builder
	if err := client.Do(ctx, task, &out); err != nil {
		return result, err
	}
	result.Message = strings.TrimSpace(out.String())
	if task.DryRun {
		result.Message = task.Title()
	}
	return result, nil
}

func (s *Server) apply(w http.ResponseWriter, r *http.Request, session *session, a action) {
	objects, err := session.client.Apply(r.Context(), a.YAML, kube.ApplyOptions{Namespace: a.Namespace, Force: a.Force, DryRun: a.DryRun, Of: a.Version})
	if err != nil && len(objects) == 0 {
		fail(w, http.StatusBadRequest, kube.Reason(err), "nothing was changed")
		return
	}
	count := map[string]int{}
	for _, o := range objects {
		count[o.Result]++
	}
	var parts []string
	for _, result := range []string{"created", "changed", "unchanged", "failed"} {
		if n := count[result]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, result))
		}
	}
	jsonhttp.Write(w, done{Message: strings.Join(parts, ", "), Objects: objects})
}

// failKubernetes writes an error of the API server with its status.
func failKubernetes(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	var network net.Error
	code := http.StatusUnprocessableEntity // what was asked for is not possible
	switch {
	case errors.As(err, &status) && status.Status().Code >= http.StatusBadRequest:
		code = int(status.Status().Code)
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		code = http.StatusBadGateway
	}
	fail(w, code, kube.Reason(err), "")
}

// line is one line of a stream.
type line struct {
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
	// Done is set in the last line.
	Done bool `json:"done,omitempty"`
}

// lineWriter sends each line that is written to it as JSON. Several goroutines may
// write.
type lineWriter struct {
	mu   sync.Mutex // guards the fields below
	rest string
	send func(line)
}

func (l *lineWriter) Write(content []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest += string(content)
	for {
		text, rest, found := strings.Cut(l.rest, "\n")
		if !found {
			return len(content), nil
		}
		l.rest = rest
		l.send(line{Message: text})
	}
}

// stream sends the lines that work writes as they come, and its error as the last one.
func stream(w http.ResponseWriter, work func(out io.Writer) error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder, flush := json.NewEncoder(w), http.NewResponseController(w)
	out := &lineWriter{send: func(l line) {
		_ = encoder.Encode(l) // the browser may have gone
		_ = flush.Flush()
	}}
	err := work(out)
	out.mu.Lock()
	defer out.mu.Unlock()
	out.send(line{Message: out.rest, Error: kube.Reason(err), Done: true})
}
