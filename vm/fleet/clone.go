package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/snapshot"
	"github.com/skiff-dev/skiff/vm/template"
)

// UnpackClone makes the machines of another cluster's snapshot below a directory. Their memory,
// which has the keys of that cluster, is part of them only if memory is set. dir is the new
// cluster's directory.
func UnpackClone(ctx context.Context, op *operation.Operation, unpacker driver.Unpacker, dir, from home.Cluster, m snapshot.Manifest, machines string, memory bool) error {
	if err := enoughRoom(int(m.Bytes()>>20), offline.FreeMiB(string(dir)), string(dir)); err != nil {
		return &daemonapi.Failure{Cause: "not enough disk space: " + err.Error(), Hint: "remove a snapshot with \"skiff snapshot rm\", or run \"skiff prune\""}
	}
	return eachMachine(ctx, op, daemonapi.PhaseCopy, m.Names(), func(ctx context.Context, name string) error {
		return unpacker.Unpack(ctx, name, snapshot.MachineDir(from, m.Name, name), machines, memory)
	})
}

// Origin returns the snapshot from which the cluster was made, nil if there is none.
func (f *Fleet) Origin() *cluster.Origin { return f.state.current().Origin }

// Foreign reports whether the keys of the cluster in the snapshot still decrypt secrets, and
// the cluster works, so that these can be encrypted with its own.
func (f *Fleet) Foreign() bool {
	origin := f.Origin()
	if origin == nil || origin.Adopting {
		return false
	}
	ring, err := f.credentials.Current().Keyring()
	return err == nil && ring.Phase != pki.PhaseSettled && (ring.Foreign || ring.Phase == pki.PhaseRemoved)
}

// dropTemplate removes the template with which the cluster begins, because its memory cannot be
// used any more. The next cluster of that shape boots, and another template can be made.
func (e *executor) dropTemplate() {
	origin := e.state.current().Origin
	if origin == nil || origin.Template == "" || !origin.Adopting {
		return
	}
	if err := template.Remove(e.dir.Home(), origin.Template); err != nil && !errors.Is(err, template.ErrNone) {
		e.log.Warn("cannot remove a template that cannot be used", "template", origin.Template, "error", err)
	}
}

// distinguish gives a node that continues what its memory must not share with another copy of
// it: random bytes, and in a clone the name of the cluster and what follows from that.
func (e *executor) distinguish(ctx context.Context, n cluster.Node, m machine.Machine) error {
	shared := e.state.current().Shared()
	var document []byte
	if shared {
		document = m.Seed
	}
	err := e.nodes.client(n).SetIdentity(ctx, document)
	if err == nil || shared || ctx.Err() != nil {
		return err
	}
	// An image of an earlier release cannot do that.
	e.log.Warn("a node that continued was not given new random bytes", "node", n.Name, "error", err)
	return nil
}

// Shared reports whether the cluster may share credentials with the one in the snapshot.
func (f *Fleet) Shared() bool { return f.state.current().Shared() }

// Joined reports whether the cluster works and shares more with the one in the snapshot than
// its encryption key.
func (f *Fleet) Joined() bool { return f.Shared() && !f.state.current().Adopting() }

// Part replaces everything that the cluster shares with the one in the snapshot, or continues
// with that. The rotation of authorities was begun when the cluster was made.
func (f *Fleet) Part(ctx context.Context, op *operation.Operation) (string, error) {
	progress, err := f.credentials.Current().Rotation()
	if err != nil {
		return "", err
	}
	if progress != nil {
		if _, err := f.RotateAuthorities(ctx, op, daemonapi.RotateAuthorities{Revoke: true}); err != nil {
			return "", err
		}
	}
	if err := f.restartPrograms(ctx, op); err != nil {
		return "", operation.AsFailure(err, f.dir.Log())
	}
	return "everything that was shared with " + f.Origin().Other() + " has been replaced", f.state.change(func(state *cluster.State) { state.Part() })
}

// restartPrograms restarts the programs of all running nodes one after another. They have the
// cluster's name and the ID of the machine since they started, keys for the tickets of TLS
// sessions, and connections that were made with earlier certificates.
func (f *Fleet) restartPrograms(ctx context.Context, op *operation.Operation) error {
	r := &authorityRotation{core: f.core, renewals: f.renewals, op: op}
	nodes, err := r.running(ctx)
	if err != nil {
		return err
	}
	for _, program := range []string{programControlPlane, programAgent} {
		for _, n := range nodes {
			if program == programControlPlane && n.Role != nodeconfig.RoleControlPlane {
				continue
			}
			op.Begin(n.Name, daemonapi.PhaseRestart, "restarting its programs")
			if err := r.restarter().restartProgram(ctx, n, program, true); err != nil {
				return fmt.Errorf("restart the programs of %s: %w", n.Name, err)
			}
			op.End(n.Name, daemonapi.PhaseRestart, nil)
		}
	}
	return nil
}

// adopt replaces what objects have of the other cluster's authorities and tokens. The control
// plane has replaced the authority in the namespaces before it served them.
func (e *executor) adopt(ctx context.Context, n cluster.Node) error {
	return e.poll(ctx, n, e.limits.Ready, e.adoptOnce)
}

func (e *executor) adoptOnce(ctx context.Context) error {
	set := e.credentials.Current()
	clients, proxies, err := set.Clients()
	if err != nil {
		return err
	}
	known, err := e.api.kube.ClientAuthorities(ctx)
	if err != nil {
		return err
	}
	own := pki.Split(clients)
	for _, old := range pki.Split(known) {
		if slices.ContainsFunc(own, func(a []byte) bool { return string(a) == string(old) }) {
			continue
		}
		// A webhook's own certificate stays what the old authority has signed.
		if err := e.api.kube.ReplaceBundles(ctx, func(bundle []byte) []byte { return pki.ReplaceIn(bundle, old, own[0], false) }); err != nil {
			return err
		}
	}
	prefix, err := set.TokenPrefix()
	if err != nil {
		return err
	}
	if err := e.api.kube.RenewTokens(ctx, func(token string) bool { return !strings.HasPrefix(token, prefix) }); err != nil {
		return err
	}
	// Last, because this forgets which the old ones are.
	return e.api.kube.SetClientAuthorities(ctx, clients, proxies)
}

// cloneNote returns one line for users while keys of the other cluster are in use.
func (f *Fleet) cloneNote() []string {
	if notes := offline.SharedNotes(f.state.current()); len(notes) > 0 {
		return notes
	}
	if !f.Foreign() {
		return nil
	}
	return []string{fmt.Sprintf("Secrets are still encrypted with the key of %s; they are being encrypted with a new one.", f.Origin().Other())}
}
