package fake_test

import (
	"testing"

	"github.com/skiff-dev/skiff/vm/driver/drivertest"
	"github.com/skiff-dev/skiff/vm/driver/fake"
	"github.com/skiff-dev/skiff/vm/machine"
)

func TestFakeKeepsTheContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Subject {
		d := &fake.Driver{}
		t.Cleanup(func() { _ = d.Close() })
		return drivertest.Subject{
			Driver:   d,
			Machine:  func(name string) machine.Machine { return machine.Machine{Name: name} },
			Crash:    func(_ *testing.T, name string) { d.End(name, "signal: killed") },
			Write:    func(_ *testing.T, name, mark string) { d.SetDisk(name, mark) },
			Read:     func(_ *testing.T, name string) string { return d.Disk(name) },
			PowerOff: func(_ *testing.T, name string) { d.End(name, "") },
			Busy:     func(*testing.T, string) {}, // as they all are
			Damage:   func(_ *testing.T, name string) { d.Damage(name) },
			Replace: func(t *testing.T, machines string) {
				if err := d.Load(machines); err != nil {
					t.Error(err)
				}
			},
		}
	})
}
