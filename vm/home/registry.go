package home

import "path/filepath"

// Registry is the directory of the user's registry, mode 0700. It is not part of any
// cluster.
type Registry string

// Registry returns the directory of the registry, which need not exist.
func (h Home) Registry() Registry { return Registry(filepath.Join(string(h), "registry")) }

// Create creates the registry's directory if it is missing.
func (r Registry) Create() error { return create(string(r)) }

// Acquire takes the registry's lock and creates its directory if it is missing. The
// error wraps ErrLocked if another process holds the lock.
func (r Registry) Acquire() (*Lock, error) { return acquire(string(r), r.join("registry.lock")) }

// Held reports whether a process holds the registry's lock. It creates nothing.
func (r Registry) Held() bool { return held(r.join("registry.lock")) }

// Socket is where the registry serves its control API, and the daemons of clusters.
func (r Registry) Socket() string { return r.join("registry.sock") }

// Log is the registry's own log.
func (r Registry) Log() string { return r.join("registry.log") }

// Settings are the registry's own, such as its port.
func (r Registry) Settings() string { return r.join("settings.json") }

// Pushed holds the images that were pushed.
func (r Registry) Pushed() string { return r.join("pushed") }

// Cache holds the images that were pulled from other registries.
func (r Registry) Cache() string { return r.join("cache") }

func (r Registry) join(name string) string { return filepath.Join(string(r), name) }
