package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/clockjump"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// hostPeriod is how often the daemon looks at its directory and its use.
const hostPeriod = 5 * time.Second

// watchHost follows what no request tells: that the host slept, that the cluster's
// directory was removed, that nobody uses the daemon.
// relisten creates the daemon's socket again.
func (d *daemon) watchHost(life context.Context, relisten func() error) {
	jumped := clockjump.Watch(life, d.log)
	ticker := time.NewTicker(hostPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-jumped:
			d.setClocks(life)
			continue
		case <-ticker.C:
		}
		if err := d.checkSocket(relisten); err != nil {
			d.log.Error("the daemon's socket was deleted and cannot be created again", "error", err)
		}
		if d.abandoned(time.Now()) {
			d.log.Info("nobody uses this daemon")
			d.end()
			return
		}
	}
}

// ownerPeriod is how often the daemon looks for the process that it works for.
const ownerPeriod = time.Second

// watchOwner takes the cluster down when the process that it exists for has ended
// without doing so itself: it was killed.
func (d *daemon) watchOwner(life context.Context) {
	for pause.For(life, ownerPeriod) == nil {
		if err := syscall.Kill(d.config.Owner, 0); errors.Is(err, syscall.ESRCH) {
			d.log.Info("the process that the cluster exists for has ended; taking the cluster down", "pid", d.config.Owner)
			<-d.beginDown(daemonapi.DownRequest{Snapshots: true}).Done()
		}
	}
}

// setClocks gives all running nodes the host's time.
func (d *daemon) setClocks(ctx context.Context) {
	f := d.open()
	if f == nil {
		return
	}
	d.log.Info("the host slept or its clock was set; setting the nodes' clocks")
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	f.HostSlept(ctx)
}

// checkSocket calls relisten if the socket was deleted, as programs do that clean
// up temporary files. The machines are not affected.
func (d *daemon) checkSocket(relisten func() error) error {
	if !missing(d.dir.Socket()) || missing(string(d.dir)) {
		return nil
	}
	d.log.Warn("the daemon's socket was deleted; creating it again")
	return relisten()
}

// abandoned reports whether the cluster's directory was removed from outside, or
// nobody has used the daemon for a while.
func (d *daemon) abandoned(now time.Time) bool {
	if missing(string(d.dir)) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	busy := d.fleet != nil || d.leaving != nil || d.active() != nil
	if busy {
		d.idle = now
	}
	return now.Sub(d.idle) > d.config.Idle
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}
