package daemon

import (
	"context"
	"net/http"
	"time"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/standby"
)

const (
	// sleepAgain is how long to wait if a cluster that nobody uses cannot be paused now, and
	// wakeAgain if one that is asleep cannot be resumed yet, because of another change.
	sleepAgain = 5 * time.Second
	wakeAgain  = 20 * time.Millisecond
)

// watchUse pauses the cluster when nobody has used it for as long as its settings say, and
// resumes it when somebody does.
func (d *daemon) watchUse(life context.Context) {
	for {
		f, after := d.open(), time.Duration(0)
		if f != nil {
			after = f.PauseAfter()
		}
		action, again := standby.Decide(d.standby.Facts(after), time.Now())
		switch {
		case f == nil:
			again = 0 // whatever opens it is a use
		case action == standby.Sleep && !d.sleep(life, f, after):
			again = sleepAgain
		case action == standby.Wake && !d.wake(life, f):
			again = wakeAgain
		}
		var due <-chan time.Time
		if again > 0 {
			due = time.After(again)
		}
		select {
		case <-life.Done():
			return
		case <-d.standby.Changed():
		case <-due:
		}
	}
}

// sleep pauses the cluster, unless it is in use or cannot be paused now.
func (d *daemon) sleep(life context.Context, f *fleet.Fleet, after time.Duration) bool {
	if err := f.CanSleep(life); err != nil {
		d.log.Debug("nobody uses the cluster, but it is not paused", "error", err)
		return false
	}
	d.mu.Lock()
	if d.unavailable() != nil || d.fleet != f || !d.standby.TryToSleep(after) {
		d.mu.Unlock()
		return false
	}
	op := d.start(life, operation.KindSleep, nil, func(ctx context.Context, op *operation.Operation) (string, error) {
		err := f.Sleep(ctx, op)
		if err != nil {
			d.standby.Wake()
		}
		return "", err
	})
	d.mu.Unlock()
	<-op.Done()
	return true
}

// wake resumes the cluster, unless another change is in progress.
func (d *daemon) wake(life context.Context, f *fleet.Fleet) bool {
	d.mu.Lock()
	if d.unavailable() != nil || d.fleet != f {
		d.mu.Unlock()
		return false
	}
	op := d.start(life, operation.KindWake, nil, func(ctx context.Context, op *operation.Operation) (string, error) {
		return "", f.Wake(ctx, op)
	})
	d.mu.Unlock()
	<-op.Done()
	return true
}

// rouse wakes the cluster if it is asleep. It gives up when ctx ends; then what needs the
// cluster fails.
func (d *daemon) rouse(ctx context.Context) {
	if end, err := d.standby.Use(ctx, standby.Requests); err == nil {
		end()
	}
}

// used calls answer, which asks nodes, while the cluster is awake. The request is a use of
// the cluster.
func (d *daemon) used(answer func(http.ResponseWriter, *http.Request, *fleet.Fleet)) func(http.ResponseWriter, *http.Request, *fleet.Fleet) {
	return func(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
		end, err := d.standby.Use(r.Context(), standby.Requests)
		if err != nil {
			return // the client is gone
		}
		defer end()
		answer(w, r, f)
	}
}

// holdLogs is how long a request of the collection of logs waits for a cluster that is
// asleep.
const holdLogs = 20 * time.Second

// collectLogs forwards a request of the collection of logs to a node by proxy. It does not
// count as use of the cluster, and ends when the cluster falls asleep.
func (d *daemon) collectLogs(w http.ResponseWriter, r *http.Request, f *fleet.Fleet, proxy func(http.ResponseWriter, *http.Request, *fleet.Fleet)) {
	waiting, stop := context.WithTimeout(r.Context(), holdLogs)
	defer stop()
	_ = d.standby.Await(waiting) // proxy finds out that the cluster is paused
	awake, cancel := d.standby.WhileAwake(r.Context())
	defer cancel()
	proxy(w, r.WithContext(awake), f)
}

// postPauseIdle changes when the cluster is paused by itself.
func (d *daemon) postPauseIdle(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	var request daemonapi.PauseIdle
	if !readRequest(w, r, &request) {
		return
	}
	d.yield()
	// No apply may change the setting meanwhile.
	d.mu.Lock()
	defer d.mu.Unlock()
	if failure := d.unavailable(); failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	if err := f.SetPauseIdle(request.Idle, drivers.CanPause); err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(err, d.dir.Log()))
		return
	}
	jsonhttp.Write(w, request)
}
