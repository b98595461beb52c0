package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge/web"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
)

// maxSpec bounds the body of a request, in bytes.
const maxSpec = 1 << 20

// handler serves the daemon's API. Operations end with life, not with the request
// that began them.
func (d *daemon) handler(life context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+daemonapi.PathStatus, func(w http.ResponseWriter, r *http.Request) { jsonhttp.Write(w, d.status(r.Context())) })
	mux.HandleFunc("POST "+daemonapi.PathPlan, d.postPlan)
	mux.HandleFunc("POST "+daemonapi.PathApply, func(w http.ResponseWriter, r *http.Request) { d.postApply(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathRemoveNodes, func(w http.ResponseWriter, r *http.Request) {
		d.postNodes(life, w, r, operation.KindRemoveNodes, (*fleet.Fleet).RemoveNodes)
	})
	mux.HandleFunc("POST "+daemonapi.PathReplaceNodes, func(w http.ResponseWriter, r *http.Request) {
		d.postNodes(life, w, r, operation.KindReplaceNodes, (*fleet.Fleet).ReplaceNodes)
	})
	mux.HandleFunc("POST "+daemonapi.PathUpgradePlan, d.opened(d.used(postUpgradePlan)))
	mux.HandleFunc("POST "+daemonapi.PathUpgrade, func(w http.ResponseWriter, r *http.Request) { d.postUpgrade(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathDown, d.postDown)
	mux.HandleFunc("POST "+daemonapi.PathStop, func(w http.ResponseWriter, r *http.Request) { d.postStop(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathRestart+"{node}", func(w http.ResponseWriter, r *http.Request) { d.postRestart(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathRestore, func(w http.ResponseWriter, r *http.Request) { d.postRestore(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathSnapshot, func(w http.ResponseWriter, r *http.Request) { d.postSnapshot(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathRestoreSnapshot, func(w http.ResponseWriter, r *http.Request) { d.postRestoreSnapshot(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathClone, func(w http.ResponseWriter, r *http.Request) { d.postClone(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathPauseIdle, d.opened(d.postPauseIdle))
	mux.HandleFunc("GET "+daemonapi.PathServices, d.opened(getServices))
	mux.HandleFunc("POST "+daemonapi.PathPorts, d.postPorts)
	mux.HandleFunc("GET "+daemonapi.PathFaults, d.opened(func(w http.ResponseWriter, _ *http.Request, f *fleet.Fleet) { writeFaults(w, f.Faults()) }))
	mux.HandleFunc("POST "+daemonapi.PathFaults, func(w http.ResponseWriter, r *http.Request) { d.postFault(life, w, r) })
	mux.HandleFunc("POST "+daemonapi.PathFaultsClear, d.opened(d.clearFaults))
	if d.config.Dashboard != nil {
		mux.HandleFunc("POST "+daemonapi.PathDashboard, d.opened(d.used(d.postDashboard)))
	}
	mux.HandleFunc("GET "+daemonapi.PathFiles, d.opened(getFiles))
	mux.HandleFunc("PUT "+daemonapi.PathFiles, d.opened(d.used(d.putFile)))
	mux.HandleFunc("GET "+daemonapi.PathPKI, d.opened(getPKI))
	mux.HandleFunc("POST "+daemonapi.PathRotateAuthorities, func(w http.ResponseWriter, r *http.Request) { d.postRotateAuthorities(life, w, r) })
	mux.HandleFunc("GET "+daemonapi.PathKubeconfig, d.getKubeconfig)
	mux.HandleFunc("GET "+daemonapi.PathWebHosts, d.web((*web.Server).AnswerHosts))
	mux.HandleFunc("GET "+daemonapi.PathWebCertificate, d.web((*web.Server).AnswerCertificate))
	mux.HandleFunc(daemonapi.PathMetrics+"/", d.opened(queryMetrics))
	mux.HandleFunc(daemonapi.PathLogs+"/", d.opened(queryLogs))
	mux.HandleFunc(daemonapi.PathLogsTail, d.opened(d.used(queryLogs))) // waits for logs that are yet to be written
	mux.HandleFunc(daemonapi.PathNode+"{node}/", d.opened(d.used(d.proxyNode)))
	mux.HandleFunc(daemonapi.PathNode+"{node}"+nodeapi.PathTakeLogs, d.opened(func(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
		d.collectLogs(w, r, f, d.proxyNode)
	}))
	for path, o := range map[string]struct {
		kind   operation.Kind
		change change
	}{
		daemonapi.PathRotate: {operation.KindRotate, func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
			return f.Rotate(ctx, op)
		}},
		daemonapi.PathPause: {operation.KindPause, func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
			return f.Pause(ctx, op)
		}},
		daemonapi.PathResume: {operation.KindResume, func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
			return f.Resume(ctx, op)
		}},
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			op, failure := d.begin(life, o.kind, o.change)
			d.answer(w, r, op, failure)
		})
	}
	return mux
}

func (d *daemon) postPlan(w http.ResponseWriter, r *http.Request) {
	spec, err := d.readSpec(w, r)
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Joined(err))
		return
	}
	steps, err := d.plan(r.Context(), spec)
	if err != nil {
		writeFailure(w, http.StatusInternalServerError, operation.AsFailure(err, d.dir.Log()))
		return
	}
	jsonhttp.Write(w, steps)
}

func (d *daemon) postApply(life context.Context, w http.ResponseWriter, r *http.Request) {
	spec, err := d.readSpec(w, r)
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Joined(err))
		return
	}
	draining, err := daemonapi.ParseDraining(r.URL.Query())
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Invalid(err, ""))
		return
	}
	op, failure := d.beginApply(life, spec, draining)
	d.answer(w, r, op, failure)
}

// postNodes starts the operation that changes the desired nodes and updates the cluster.
func (d *daemon) postNodes(life context.Context, w http.ResponseWriter, r *http.Request, kind func([]string) operation.Kind, change func(*fleet.Fleet, []string) error) {
	var request daemonapi.NodesRequest
	if !readRequest(w, r, &request) {
		return
	}
	op, failure := d.begin(life, kind(request.Names), func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
		if err := change(f, request.Names); err != nil {
			return "", err
		}
		return settle(ctx, f, op, request.Draining)
	})
	d.answer(w, r, op, failure)
}

func (d *daemon) postStop(life context.Context, w http.ResponseWriter, r *http.Request) {
	var request daemonapi.StopRequest
	if readOptional(w, r, &request) {
		d.stream(w, r, d.beginStop(life, request))
	}
}

func (d *daemon) postDown(w http.ResponseWriter, r *http.Request) {
	var request daemonapi.DownRequest
	if !readOptional(w, r, &request) {
		return
	}
	if err := offline.CheckSnapshots(d.dir, request); err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(err, ""))
		return
	}
	d.stream(w, r, d.beginDown(request))
}

// readOptional is readRequest for a request that may have no body, as other programs send.
func readOptional(w http.ResponseWriter, r *http.Request, request any) bool {
	err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, maxSpec), request)
	if err != nil && !errors.Is(err, io.EOF) {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Invalid(fmt.Errorf("read the request: %w", err), ""))
		return false
	}
	return true
}

func (d *daemon) postRestart(life context.Context, w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("node")
	op, failure := d.begin(life, operation.KindRestart(name), func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
		return "", f.Restart(ctx, op, name)
	})
	d.answer(w, r, op, failure)
}

// readRequest reads a request. If it is invalid, it answers that and returns false.
func readRequest(w http.ResponseWriter, r *http.Request, request any) bool {
	if err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, maxSpec), request); err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Invalid(fmt.Errorf("read the request: %w", err), ""))
		return false
	}
	return true
}

// readSpec reads and checks the desired cluster.
func (d *daemon) readSpec(w http.ResponseWriter, r *http.Request) (cluster.Spec, error) {
	var spec cluster.Spec
	if err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, maxSpec), &spec); err != nil {
		return spec, operation.Invalid(fmt.Errorf("read the cluster's configuration: %w", err), "")
	}
	if err := d.checkName(spec); err != nil {
		return spec, err
	}
	state, err := cluster.ReadState(d.dir.State())
	if err != nil && !cluster.IsAbsent(err) {
		return spec, err
	}
	if f := d.open(); f != nil {
		if err := cluster.CheckRunning(f.Spec(), spec); err != nil {
			return spec, operation.Invalid(err, "")
		}
	}
	return spec, offline.Check(d.dir, spec, d.config.Host(d.config.Home), state, err == nil)
}

func (d *daemon) getKubeconfig(w http.ResponseWriter, _ *http.Request) {
	content, err := offline.Kubeconfig(d.dir)
	if err != nil {
		writeFailure(w, http.StatusNotFound, operation.AsFailure(err, ""))
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(content)
}

// opened calls answer with the open cluster; a stopped one is a failure.
func (d *daemon) opened(answer func(http.ResponseWriter, *http.Request, *fleet.Fleet)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := d.open()
		if f == nil {
			writeFailure(w, http.StatusServiceUnavailable, operation.Stopped())
			return
		}
		ctx, end := f.Within(r.Context())
		defer end()
		answer(w, r.WithContext(ctx), f)
	}
}

func (d *daemon) proxyNode(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	name := r.PathValue("node")
	address, ok := f.Address(name)
	if !ok {
		writeFailure(w, http.StatusNotFound, operation.NoNode(name))
		return
	}
	if f.Paused(r.Context(), name) {
		writeFailure(w, http.StatusServiceUnavailable, daemonapi.Paused(d.config.Name))
		return
	}
	if err := f.Silent(name); err != nil {
		writeFailure(w, http.StatusServiceUnavailable, operation.AsFailure(err, ""))
		return
	}
	f.Nodes().Proxy(w, r, address, daemonapi.PathNode+name, func(w http.ResponseWriter, err error) {
		if d.standby.Asleep() || f.Paused(context.WithoutCancel(r.Context()), name) { // meanwhile
			writeFailure(w, http.StatusServiceUnavailable, daemonapi.Paused(d.config.Name))
			return
		}
		writeFailure(w, http.StatusBadGateway, &daemonapi.Failure{
			Cause: fmt.Sprintf("node %s does not answer: %v", name, err),
			Hint:  "\"skiff status\" shows whether its machine is running",
		})
	})
}

// answer streams an operation, or writes why it did not begin.
func (d *daemon) answer(w http.ResponseWriter, r *http.Request, op *operation.Operation, failure *daemonapi.Failure) {
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	d.stream(w, r, op)
}

// stream sends an operation's events, one a line, until the last one or until the
// client disconnects.
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

func writeFailure(w http.ResponseWriter, status int, failure *daemonapi.Failure) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure)
}
