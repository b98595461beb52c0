// Package restoretest fakes the control planes of a cluster for tests of a
// restore, and notes every step that would endanger its data.
package restoretest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// Cluster is the control planes of one cluster. Its zero value has none.
type Cluster struct {
	mu     sync.Mutex // guards what follows, and the planes
	planes map[string]*ControlPlane
	faults []string
	// refuse is the error of Replace, serveless keeps restored data from serving.
	refuse, serveless error
}

// ControlPlane is one control plane. It implements controlapi.Restore.
type ControlPlane struct {
	cluster      *Cluster
	name         string
	data, before string
	staged       string
	held         string
	restored     string
}

var _ controlapi.Restore = (*ControlPlane)(nil)

// Add returns the control plane with that name, with data if it is new.
func (c *Cluster) Add(name, data string) *ControlPlane {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.planes == nil {
		c.planes = map[string]*ControlPlane{}
	}
	if c.planes[name] == nil {
		c.planes[name] = &ControlPlane{cluster: c, name: name, data: data}
	}
	return c.planes[name]
}

// Refuse makes Replace fail.
func (c *Cluster) Refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = err
}

// Serveless keeps a control plane with restored data from serving if err is not
// nil.
func (c *Cluster) Serveless(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serveless = err
}

// Faults returns what was done that must never be done.
func (c *Cluster) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.faults...)
}

// Data returns the data that all control planes serve; an error if they differ
// or one of them is held.
func (c *Cluster) Data() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data := ""
	for _, p := range c.planes {
		switch {
		case p.held != "":
			return "", fmt.Errorf("%s is held", p.name)
		case data != "" && p.data != data:
			return "", fmt.Errorf("%s has other data than another control plane", p.name)
		}
		data = p.data
	}
	return data, nil
}

// Ready returns nil if the control plane serves.
func (p *ControlPlane) Ready(context.Context) error {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	if p.held != "" || p.data == "" {
		return errors.New("not ready")
	}
	return nil
}

// Status returns the state of the control plane.
func (p *ControlPlane) Status(context.Context) (controlapi.Status, error) {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	status := controlapi.Status{State: controlapi.StateServing, Held: p.held, Restored: p.restored}
	switch {
	case p.held != "":
		status.State = controlapi.StateHeld
	case p.restored != "" && p.cluster.serveless != nil:
		status.State = controlapi.StateStarting
	}
	return status, nil
}

// Stage implements controlapi.Restore.
func (p *ControlPlane) Stage(_ context.Context, snapshot io.Reader) (controlapi.SnapshotInfo, error) {
	content, err := io.ReadAll(snapshot)
	if err != nil {
		return controlapi.SnapshotInfo{}, err
	}
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	p.staged = string(content)
	return controlapi.SnapshotInfo{Bytes: int64(len(content))}, nil
}

// Hold implements controlapi.Restore.
func (p *ControlPlane) Hold(_ context.Context, r controlapi.RestoreRequest) error {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	p.held = r.ID
	return nil
}

// Replace implements controlapi.Restore.
func (p *ControlPlane) Replace(_ context.Context, r controlapi.RestoreRequest) error {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	for _, other := range p.cluster.planes {
		if other.held != r.ID {
			p.cluster.faults = append(p.cluster.faults, fmt.Sprintf("%s is replaced while %s runs", p.name, other.name))
		}
	}
	switch {
	case p.restored == r.ID:
		return nil
	case p.cluster.refuse != nil:
		return p.cluster.refuse
	case p.held != r.ID || p.staged == "":
		return controlapi.ErrRefused
	}
	p.data, p.before, p.staged, p.restored = p.staged, p.data, "", r.ID
	return nil
}

// Revert implements controlapi.Restore.
func (p *ControlPlane) Revert(_ context.Context, r controlapi.RestoreRequest) error {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	p.staged = ""
	if p.restored != r.ID {
		return nil
	}
	if p.held != r.ID {
		return controlapi.ErrRefused
	}
	p.data, p.before, p.restored = p.before, "", ""
	return nil
}

// Release implements controlapi.Restore.
func (p *ControlPlane) Release(_ context.Context, r controlapi.ReleaseRequest) error {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	if p.held == "" {
		return nil
	}
	if p.held != r.ID {
		return controlapi.ErrRefused
	}
	p.held = ""
	if r.Join == "" {
		return nil
	}
	first := p.cluster.planes[r.Join]
	if first == nil || first.held != "" || first.restored != r.ID {
		p.cluster.faults = append(p.cluster.faults, fmt.Sprintf("%s drops its data before %s serves the snapshot", p.name, r.Join))
		p.data = ""
		return nil
	}
	p.data = first.data
	return nil
}
