package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
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
		writeFailure(w, http.StatusUnprocessableEntity, joined(err))
		return
	}
	d.mu.Lock()
	c := d.cluster
	d.mu.Unlock()
	observed := cluster.Observed{}
	if c != nil {
		if observed, err = c.observe(r.Context()); err != nil {
			writeFailure(w, http.StatusInternalServerError, asFailure(err, d.dir.Log()))
			return
		}
	} else if state, err := cluster.ReadState(d.dir.State(), time.Now()); err == nil {
		observed = Stopped(d.dir, state)
	}
	writeJSON(w, cluster.Plan(spec, observed))
}

func (d *daemon) postApply(w http.ResponseWriter, r *http.Request) {
	spec, err := d.readSpec(w, r)
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, joined(err))
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
		return spec, invalid(fmt.Errorf("read the wanted cluster: %w", err), "")
	}
	if spec.Name != d.config.Name {
		return spec, invalid(fmt.Errorf("this is the daemon of cluster %s, not %s", d.config.Name, spec.Name), "")
	}
	state, err := cluster.ReadState(d.dir.State(), time.Now())
	if err != nil && !cluster.IsAbsent(err) {
		return spec, err
	}
	return spec, Check(d.dir, spec, HostFacts(d.config.Home), state, err == nil)
}

// beginApply starts an apply, or joins one that does the same. It is refused
// during other work.
func (d *daemon) beginApply(spec cluster.Spec) (*operation, *daemonapi.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving != nil {
		return nil, &daemonapi.Failure{Cause: errDown.Error(), Hint: "run \"skiff up\" again when it is gone"}
	}
	if active := d.active(); active != nil {
		if active.work != workApply {
			return nil, busyWith(active)
		}
		if d.wanted.Same(spec) {
			return active, nil
		}
		return nil, &daemonapi.Failure{Cause: "the cluster is just being changed in another way", Hint: "wait until that is done, or stop it with \"skiff down\""}
	}
	ctx, cancel := context.WithCancelCause(d.life)
	op := newOperation(workApply, cancel)
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
func (d *daemon) beginDown() *operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving != nil {
		return d.leaving
	}
	op := newOperation("", func(error) {})
	d.leaving = op
	d.tasks.Go(func() {
		err := d.down(op)
		if err != nil {
			d.log.Error("cluster not removed", "error", err)
			op.finish(daemonapi.PhaseCluster, "", asFailure(err, d.dir.Log()))
			d.mu.Lock()
			defer d.mu.Unlock()
			d.leaving = nil // it may be tried again
			return
		}
		op.finish(daemonapi.PhaseCluster, "removed", nil)
		d.end()
	})
	return op
}

// down stops other work, ends the machines and removes all that they kept.
func (d *daemon) down(op *operation) error {
	op.begin("", daemonapi.PhaseCluster, "")
	op.begin("", daemonapi.PhaseStop, "")
	d.mu.Lock()
	working := d.working
	d.mu.Unlock()
	if working != nil {
		working.cancel(errDown)
	}
	d.closeCluster()
	op.end("", daemonapi.PhaseStop, nil)
	op.begin("", daemonapi.PhaseDelete, "")
	if err := Sweep(d.dir); err != nil {
		return err
	}
	for _, damaged := range cluster.Damaged(d.dir.State()) {
		if err := os.Remove(damaged); err != nil {
			return fmt.Errorf("remove the cluster: %w", err)
		}
	}
	op.end("", daemonapi.PhaseDelete, nil)
	return nil
}

func (d *daemon) getKubeconfig(w http.ResponseWriter, _ *http.Request) {
	content, err := Kubeconfig(d.dir)
	if err != nil {
		writeFailure(w, http.StatusNotFound, asFailure(err, ""))
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
		writeFailure(w, http.StatusServiceUnavailable, &daemonapi.Failure{Cause: "the cluster is stopped", Hint: "start it with \"skiff up\""})
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
	c.nodes.proxy(w, r, name, address)
}

// stream sends an operation's events, one a line, until the last or until the
// client leaves.
func (d *daemon) stream(w http.ResponseWriter, r *http.Request, op *operation) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	err := op.listen(r.Context(), func(event daemonapi.Event) error {
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
