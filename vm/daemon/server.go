package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// maxSpec bounds a request to apply, in bytes.
const maxSpec = 1 << 20

func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+daemonapi.PathStatus, d.getStatus)
	mux.HandleFunc("POST "+daemonapi.PathPlan, d.postPlan)
	mux.HandleFunc("POST "+daemonapi.PathApply, d.postApply)
	mux.HandleFunc("POST "+daemonapi.PathDown, d.postDown)
	mux.HandleFunc("POST "+daemonapi.PathRotate, d.postRotate)
	mux.HandleFunc("POST "+daemonapi.PathReadmit, d.postReadmit)
	mux.HandleFunc("POST "+daemonapi.PathPause, d.postPause)
	mux.HandleFunc("POST "+daemonapi.PathResume, d.postResume)
	mux.HandleFunc("GET "+daemonapi.PathKubeconfig, d.getKubeconfig)
	mux.HandleFunc(daemonapi.PathNode+"{node}/", d.proxyNode)
	return mux
}

func (d *daemon) getStatus(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, d.status(r.Context()))
}

func (d *daemon) postPlan(w http.ResponseWriter, r *http.Request) {
	spec, err := d.readSpec(w, r)
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Joined(err))
		return
	}
	d.mu.Lock()
	c := d.cluster
	d.mu.Unlock()
	observed := cluster.Observed{}
	if c != nil {
		if observed, err = c.observe(r.Context()); err != nil {
			writeFailure(w, http.StatusInternalServerError, operation.AsFailure(err, d.dir.Log()))
			return
		}
	} else if state, err := cluster.ReadState(d.dir.State()); err == nil {
		observed = Stopped(d.dir, state)
	}
	writeJSON(w, cluster.Plan(spec, observed))
}

func (d *daemon) postApply(w http.ResponseWriter, r *http.Request) {
	spec, err := d.readSpec(w, r)
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Joined(err))
		return
	}
	op, failure := d.beginApply(spec)
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	d.stream(w, r, op)
}

// readSpec reads and checks the wanted cluster.
func (d *daemon) readSpec(w http.ResponseWriter, r *http.Request) (cluster.Spec, error) {
	var spec cluster.Spec
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSpec))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&spec); err != nil {
		return spec, operation.Invalid(fmt.Errorf("read the wanted cluster: %w", err), "")
	}
	if spec.Name != d.config.Name {
		return spec, operation.Invalid(fmt.Errorf("this is the daemon of cluster %s, not %s", d.config.Name, spec.Name), "")
	}
	state, err := cluster.ReadState(d.dir.State())
	if err != nil && !cluster.IsAbsent(err) {
		return spec, err
	}
	return spec, Check(d.dir, spec, HostFacts(d.config.Home), state, err == nil)
}

// beginApply starts an apply, or joins one that does the same. It is refused
// during other work.
func (d *daemon) beginApply(spec cluster.Spec) (*operation.Operation, *daemonapi.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving != nil {
		return nil, &daemonapi.Failure{Cause: operation.ErrDown.Error(), Hint: "run \"skiff up\" again when it is gone"}
	}
	if active := d.active(); active != nil {
		if active.Kind() != operation.KindApply {
			return nil, operation.Busy(active.Kind())
		}
		if d.wanted.Same(spec) {
			return active, nil
		}
		return nil, &daemonapi.Failure{Cause: "another change is in progress", Hint: "wait until it is done, or stop it with \"skiff down\""}
	}
	ctx, cancel := context.WithCancelCause(d.life)
	op := operation.New(operation.KindApply, cancel)
	d.working, d.wanted = op, &spec
	d.tasks.Go(func() {
		defer cancel(nil)
		d.run(ctx, op, spec)
	})
	return op, nil
}

func (d *daemon) postDown(w http.ResponseWriter, r *http.Request) {
	d.stream(w, r, d.beginDown())
}

// beginDown starts to take the cluster down, or joins that.
func (d *daemon) beginDown() *operation.Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving != nil {
		return d.leaving
	}
	op := operation.New(operation.KindDown, nil)
	d.leaving = op
	d.tasks.Go(func() {
		err := d.down(op)
		if err != nil {
			d.log.Error("cluster not removed", "error", err)
			op.Finish("", operation.AsFailure(err, d.dir.Log()))
			d.mu.Lock()
			defer d.mu.Unlock()
			d.leaving = nil // it may be tried again
			return
		}
		op.Finish("removed", nil)
		d.end()
	})
	return op
}

// down stops other work, ends the machines and removes all that they kept.
func (d *daemon) down(op *operation.Operation) error {
	op.Begin("", daemonapi.PhaseCluster, "")
	op.Begin("", daemonapi.PhaseStop, "")
	d.mu.Lock()
	working := d.working
	d.mu.Unlock()
	if working != nil {
		working.Cancel(operation.ErrDown)
	}
	d.closeCluster()
	op.End("", daemonapi.PhaseStop, nil)
	op.Begin("", daemonapi.PhaseDelete, "")
	if err := Sweep(d.dir); err != nil {
		return err
	}
	op.End("", daemonapi.PhaseDelete, nil)
	return nil
}

func (d *daemon) getKubeconfig(w http.ResponseWriter, _ *http.Request) {
	content, err := Kubeconfig(d.dir)
	if err != nil {
		writeFailure(w, http.StatusNotFound, operation.AsFailure(err, ""))
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(content)
}

func (d *daemon) proxyNode(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("node")
	d.mu.Lock()
	c := d.cluster
	d.mu.Unlock()
	if c == nil {
		writeFailure(w, http.StatusServiceUnavailable, operation.Stopped())
		return
	}
	address, ok := c.address(name)
	if !ok {
		writeFailure(w, http.StatusNotFound, &daemonapi.Failure{Cause: fmt.Sprintf("there is no node %s", name), Hint: "skiff status lists the nodes", Invalid: true})
		return
	}
	if state, err := c.machines.Driver.State(r.Context(), name); err == nil && state == machine.StatePaused {
		writeFailure(w, http.StatusServiceUnavailable, daemonapi.Paused(d.config.Name))
		return
	}
	c.nodes.Proxy(w, r, address, daemonapi.PathNode+name, func(w http.ResponseWriter, err error) {
		writeFailure(w, http.StatusBadGateway, &daemonapi.Failure{
			Cause: fmt.Sprintf("node %s does not answer: %v", name, err),
			Hint:  "\"skiff status\" shows whether its machine is running",
		})
	})
}

// stream sends an operation's events, one a line, until the last or until the
// client leaves.
func (d *daemon) stream(w http.ResponseWriter, r *http.Request, op *operation.Operation) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	err := op.Listen(r.Context(), func(event daemonapi.Event) error {
		return errors.Join(encoder.Encode(event), flush.Flush())
	})
	if err != nil && r.Context().Err() == nil {
		d.log.Warn("events not sent", "error", err)
	}
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func writeFailure(w http.ResponseWriter, status int, failure *daemonapi.Failure) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure)
}
