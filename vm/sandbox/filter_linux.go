package sandbox

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// confine attaches a filter to a cgroup of the second version. Groups below can only
// restrict it further. The filter stays until the group is removed.
func confine(dir string, filter *ebpf.ProgramSpec, to ebpf.AttachType) error {
	filter.License = "Apache-2.0"
	program, err := ebpf.NewProgram(filter)
	if err != nil {
		return fmt.Errorf("load the filter %s: %w", filter.Name, err)
	}
	defer func() { _ = program.Close() }()
	group, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("attach the filter %s: %w", filter.Name, err)
	}
	defer func() { _ = group.Close() }()
	err = link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(group.Fd()), Program: program, Attach: to,
		Flags: unix.BPF_F_ALLOW_MULTI, // container runtimes add theirs below
	})
	if err != nil {
		return fmt.Errorf("attach the filter %s: %w", filter.Name, err)
	}
	return nil
}

// restrict attaches the filters to a machine's group. Kernels and containers that do
// not allow a filter run machines without it.
func (g groups) restrict(name string) error {
	if g.filters == nil {
		return nil
	}
	_, own, err := g.mkdir(*g.filters, name)
	if err != nil {
		return fmt.Errorf("create the cgroup: %w", err)
	}
	for _, filter := range []func(string) error{confineDevices, confineSysctls} {
		if err := filter(own); err != nil && !unsupported(err) {
			return err
		}
	}
	return nil
}

func unsupported(err error) bool {
	for _, known := range []error{ebpf.ErrNotSupported, unix.EINVAL, unix.ENOSYS, unix.EPERM} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
