package lima

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// CanEmulate returns why machines of another architecture than this host's cannot run; nil if
// they can, with the QEMU that Available asks for.
func CanEmulate() error {
	if needsQEMU() {
		return nil
	}
	return fmt.Errorf("%s only runs machines of the Mac's own architecture", appleVirtualization)
}

// accelerate returns what runs machines of an architecture, and prepares this process for the
// first machine of another architecture than that of the driver's image. QEMU may have been
// installed since the driver was opened.
func (d *Driver) accelerate(ctx context.Context, arch string) (Acceleration, error) {
	if arch == d.config.Image.Arch {
		return d.accel, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.foreign[arch]; ok {
		return known, nil
	}
	if err := errors.Join(CanEmulate(), Available(arch)); err != nil {
		return Acceleration{}, err
	}
	program, err := version(ctx, arch)
	if err != nil {
		return Acceleration{}, err
	}
	accel := foreign(program, arch)
	if err := useQEMU(ctx, d.config, arch, accel); err != nil {
		return Acceleration{}, err
	}
	d.foreign[arch] = accel
	return accel, nil
}

// accelerated returns the result of accelerate for an architecture whose machines run.
func (d *Driver) accelerated(arch string) Acceleration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if accel, ok := d.foreign[arch]; ok {
		return accel
	}
	return d.accel
}

// foreign returns the acceleration of machines whose architecture is not this host's.
func foreign(program, arch string) Acceleration {
	return Acceleration{Program: program, Reason: fmt.Sprintf("the node image is for %s and this host is %s", arch, runtime.GOARCH)}
}
