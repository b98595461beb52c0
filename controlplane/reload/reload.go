// Package reload follows files that the host replaces while a control plane runs, for
// parts of Kubernetes that read them only once.
package reload

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// Period is how often files are read. They are small and in memory.
const Period = time.Second

// Value is what was made of the content of some files last.
type Value[T any] struct {
	paths   []string
	parse   func(contents [][]byte) (T, error)
	raw     [][]byte
	current atomic.Pointer[T]
}

// Open reads files and makes a value of their contents.
func Open[T any](parse func(contents [][]byte) (T, error), paths ...string) (*Value[T], error) {
	v := &Value[T]{paths: paths, parse: parse}
	if _, err := v.load(); err != nil {
		return nil, err
	}
	return v, nil
}

// Get returns the value.
func (v *Value[T]) Get() T { return *v.current.Load() }

// Run reads the files again every Period until ctx ends, and calls changed, which may be
// nil, after each change of the value. Contents of which no value can be made are ignored:
// they may be those of files of which only some have been replaced.
func (v *Value[T]) Run(ctx context.Context, changed func()) {
	ticker := time.NewTicker(Period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		different, err := v.load()
		if err != nil {
			klog.FromContext(ctx).Error(err, "Failed to reload files, trying again")
		}
		if different && changed != nil {
			changed()
		}
	}
}

// load reports whether the value is another one now.
func (v *Value[T]) load() (bool, error) {
	var raw [][]byte
	same := v.raw != nil
	for i, path := range v.paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		same = same && bytes.Equal(content, v.raw[i])
		raw = append(raw, content)
	}
	if same {
		return false, nil
	}
	value, err := v.parse(raw)
	if err != nil {
		return false, fmt.Errorf("parse %v: %w", v.paths, err)
	}
	v.current.Store(&value)
	v.raw = raw
	return true, nil
}

// Restarting runs part with the value until ctx ends. When the value changes, it ends part
// and runs it with the new one. An error of part ends Restarting.
func (v *Value[T]) Restarting(ctx context.Context, part func(context.Context, T) error) error {
	changed := make(chan struct{}, 1)
	following := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(following)
		v.Run(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	defer func() {
		cancel()
		<-following
	}()
	for {
		if err := v.once(ctx, changed, part); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// once runs part until the value changes or ctx ends.
func (v *Value[T]) once(ctx context.Context, changed <-chan struct{}, part func(context.Context, T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- part(ctx, v.Get()) }()
	select {
	case err := <-ended:
		return err
	case <-changed:
	case <-ctx.Done():
	}
	cancel()
	return <-ended
}
