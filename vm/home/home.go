// Package home defines where the files of clusters are on the host. Everything of a
// cluster is in one directory, so removing that removes the cluster.
package home

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/internal/owner"
)

// Home is the directory of all clusters: SKIFF_HOME, by default ~/.skiff. It must be
// an absolute path.
type Home string

// Default returns $SKIFF_HOME, or else ~/.skiff, as an absolute path.
func Default() (Home, error) {
	if dir := os.Getenv("SKIFF_HOME"); dir != "" {
		abs, err := filepath.Abs(dir)
		return Home(abs), err
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w", err)
	}
	return Home(filepath.Join(dir, ".skiff")), nil
}

// Cache holds what can be deleted at any time, such as results of probes.
func (h Home) Cache() string { return filepath.Join(string(h), "cache") }

// Authority holds the user's certificate authority for names below localhost.
func (h Home) Authority() string { return filepath.Join(string(h), "authority") }

// Web holds the ports of the web entry, which all clusters share.
func (h Home) Web() string { return filepath.Join(string(h), "web.json") }

// AcquireWeb takes the lock of the web entry, which the daemon that serves it holds.
// The error wraps ErrLocked if another one does.
func (h Home) AcquireWeb() (*Lock, error) {
	lock, err := acquire(string(h), h.webLock())
	if err != nil {
		return nil, fmt.Errorf("lock the web entry: %w", err)
	}
	return lock, nil
}

// WebHeld reports whether a daemon serves the web entry. It creates nothing.
func (h Home) WebHeld() bool { return held(h.webLock()) }

func (h Home) webLock() string { return filepath.Join(string(h), "web.lock") }

// Records holds what was recorded of deleted clusters (package records).
func (h Home) Records() string { return filepath.Join(string(h), "records") }

// Templates holds one directory for each template (package template).
func (h Home) Templates() string { return filepath.Join(string(h), "templates") }

// Template returns the directory of a template, which need not exist. It is laid out like
// the directory of all clusters.
func (h Home) Template(key string) Home { return Home(filepath.Join(h.Templates(), key)) }

// AcquireTemplates takes the lock that the process which makes a template holds. The error
// wraps ErrLocked if another one does.
func (h Home) AcquireTemplates() (*Lock, error) {
	lock, err := acquire(h.Templates(), h.templatesLock())
	if err != nil {
		return nil, fmt.Errorf("lock the templates: %w", err)
	}
	return lock, nil
}

// TemplatesHeld reports whether a process makes a template. It creates nothing.
func (h Home) TemplatesHeld() bool { return held(h.templatesLock()) }

func (h Home) templatesLock() string { return filepath.Join(h.Templates(), "templates.lock") }

// TemplatesLog is the log of the processes that make templates in the background.
func (h Home) TemplatesLog() string { return filepath.Join(h.Templates(), "templates.log") }

// Clusters holds one directory per cluster.
func (h Home) Clusters() string { return filepath.Join(string(h), "clusters") }

// Cluster returns the directory of a cluster, which need not exist.
func (h Home) Cluster(name string) Cluster {
	return Cluster(filepath.Join(h.Clusters(), name))
}

// Names returns the clusters that have a directory, sorted.
func (h Home) Names() ([]string, error) {
	entries, err := os.ReadDir(h.Clusters())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Cluster is the directory of one cluster, mode 0700.
type Cluster string

// Create creates the cluster's directory if it is missing.
func (c Cluster) Create() error { return create(string(c)) }

// create creates a directory with keys or sockets. It belongs to the user of the
// process, and missing parents to the owner of the one that they are in.
func create(dir string) error {
	if err := owner.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// Name returns the name of the cluster.
func (c Cluster) Name() string { return filepath.Base(string(c)) }

// Home returns the directory of all clusters.
func (c Cluster) Home() Home { return Home(filepath.Dir(filepath.Dir(string(c)))) }

// State is the cluster's state file.
func (c Cluster) State() string { return c.join("cluster.json") }

// Timings holds the durations of the last apply, by phase and node, as JSON.
func (c Cluster) Timings() string { return c.join("timings.json") }

// Socket is where the daemon serves its API.
func (c Cluster) Socket() string { return c.join("daemon.sock") }

// Web is where the daemon serves requests that the web entry of another daemon
// received.
func (c Cluster) Web() string { return c.join("web.sock") }

// APISocket is where other processes of the cluster reach the Kubernetes API.
func (c Cluster) APISocket() string { return c.join("api.sock") }

// Lock is held by the daemon while it runs.
func (c Cluster) Lock() string { return c.join("daemon.lock") }

// Log is the daemon's own log.
func (c Cluster) Log() string { return c.join("daemon.log") }

// PKI holds the authorities and the host's certificates, with mode 0600.
func (c Cluster) PKI() string { return c.join("pki") }

// LoadBalancers holds the load balancers of the cluster's services, as JSON.
func (c Cluster) LoadBalancers() string { return c.join("loadbalancers.json") }

// Restore is the state of a restore of the etcd database that is in progress.
func (c Cluster) Restore() string { return c.join("restore.json") }

// UpgradeSnapshot is a snapshot of the etcd database from before the last upgrade.
func (c Cluster) UpgradeSnapshot() string { return c.join("before-upgrade.db") }

// Images holds the node images that machines of the cluster start with.
func (c Cluster) Images() string { return c.join("images") }

// RestoreSnapshot is the snapshot of that restore.
func (c Cluster) RestoreSnapshot() string { return c.join("restore.db") }

// Snapshots holds one directory for each snapshot of the cluster.
func (c Cluster) Snapshots() string { return c.join("snapshots") }

// Restoring holds what is about to replace files of the cluster while one of its snapshots is
// restored.
func (c Cluster) Restoring() string { return c.join("restoring") }

// Faults holds the active faults, as JSON.
func (c Cluster) Faults() string { return c.join("faults.json") }

// Repairs holds the last repairs of nodes, as JSON.
func (c Cluster) Repairs() string { return c.join("repairs.json") }

// Scalings holds the last changes of the autoscaler, as JSON.
func (c Cluster) Scalings() string { return c.join("scalings.json") }

// Services keeps the ports of the host that services got.
func (c Cluster) Services() string { return c.join("services.json") }

// Records holds what the daemon records of the cluster, one directory for each kind
// (packages below records).
func (c Cluster) Records() string { return c.join("records") }

// Logs holds the log store of the cluster, in Records.
func (c Cluster) Logs() string { return filepath.Join(c.Records(), LogRecords) }

// LogsHeld reports whether a process has the log store of the cluster open.
func (c Cluster) LogsHeld() bool { return held(filepath.Join(c.Logs(), LogLock)) }

// LogRecords is the name of the directory of logs in records, LogStore that of the store
// in it, LogCursors that of the file which says how much of each node's logs the store has,
// and LogLock that of the file which the process that has the store open locks.
const (
	LogRecords = "logs"
	LogStore   = "store"
	LogCursors = "cursors.json"
	LogLock    = "store.lock"
)

// LogsSocket is where the process of the log store answers queries.
func (c Cluster) LogsSocket() string { return c.join("logs.sock") }

// Machines holds one directory per machine.
func (c Cluster) Machines() string { return c.join("vm") }

// Network is the socket at which machines join the cluster's network.
func (c Cluster) Network() string { return c.join("net.sock") }

// Console is the log of a machine's serial console.
func (c Cluster) Console(node string) string {
	return filepath.Join(c.Machines(), node, "serial.log")
}

// Removing exists while the cluster is being removed. It is the state file under
// another name, so a removal begins in one step and can be continued.
func (c Cluster) Removing() string { return c.State() + ".removing" }

// Presence is how much of a cluster a directory holds.
type Presence string

const (
	// Absent means that there is nothing that belongs to a cluster.
	Absent Presence = "absent"
	// Present means that there is a state file, readable or not.
	Present Presence = "present"
	// Removing means that a removal was begun and not completed.
	Removing Presence = "removing"
	// Orphaned means that there are machines, certificates or other versions of the state file, but
	// no state file. Nothing of it may be deleted unless the user asks for it.
	Orphaned Presence = "orphaned"
)

// Presence looks for what only a cluster has. An error means that it cannot be
// known.
func (c Cluster) Presence() (Presence, error) {
	for _, sign := range []struct {
		path  string
		means Presence
	}{{c.Removing(), Removing}, {c.State(), Present}, {c.PKI(), Orphaned}, {c.Machines(), Orphaned}} {
		_, err := os.Stat(sign.path)
		if err == nil {
			return sign.means, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("look for the cluster: %w", err)
		}
	}
	// Earlier versions renamed a state file that they could not read.
	renamed, err := filepath.Glob(c.State() + ".corrupt-*")
	if err != nil {
		return "", fmt.Errorf("look for the cluster: %w", err)
	}
	if len(renamed) > 0 {
		return Orphaned, nil
	}
	return Absent, nil
}

func (c Cluster) join(name string) string { return filepath.Join(string(c), name) }
