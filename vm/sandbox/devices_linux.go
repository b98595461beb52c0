package sandbox

import (
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// anyMinor stands for all minor numbers.
const anyMinor = -1

// nodeDevices are the character devices that the programs of a node may open
// (Documentation/admin-guide/devices.txt of the kernel): those that package
// enter creates, and terminals.
var nodeDevices = []struct{ major, minor int32 }{
	{1, 3},          // null
	{1, 5},          // zero
	{1, 7},          // full
	{1, 8},          // random
	{1, 9},          // urandom
	{1, 11},         // kmsg
	{5, 0},          // tty
	{5, 1},          // console
	{5, 2},          // ptmx
	{136, anyMinor}, // pts
	{10, 200},       // net/tun
	{10, 229},       // fuse
}

// deviceFilter returns the program that the kernel runs for each access to a
// device (struct bpf_cgroup_dev_ctx in linux/bpf.h). It allows the creation of
// any special file, as images contain some and overlay file systems need them,
// and any access to nodeDevices.
func deviceFilter() asm.Instructions {
	const allow, deny = "allow", "deny"
	filter := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // access << 16 | type
		asm.LoadMem(asm.R4, asm.R1, 4, asm.Word), // major
		asm.LoadMem(asm.R5, asm.R1, 8, asm.Word), // minor
		asm.Mov.Reg(asm.R3, asm.R2),
		asm.RSh.Imm(asm.R3, 16),
		asm.And.Imm(asm.R2, 0xffff),
		asm.JEq.Imm(asm.R3, unix.BPF_DEVCG_ACC_MKNOD, allow),
		asm.JNE.Imm(asm.R2, unix.BPF_DEVCG_DEV_CHAR, deny),
	}
	for i, d := range nodeDevices {
		next := "after " + strconv.Itoa(i)
		filter = append(filter, asm.JNE.Imm(asm.R4, d.major, next))
		if d.minor == anyMinor {
			filter = append(filter, asm.Ja.Label(allow))
		} else {
			filter = append(filter, asm.JEq.Imm(asm.R5, d.minor, allow))
		}
		filter = append(filter, asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
	}
	return append(filter,
		asm.Mov.Imm(asm.R0, 0).WithSymbol(deny), asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol(allow), asm.Return(),
	)
}

// confineDevices keeps the processes in a cgroup of the second version, and in
// all groups below it, from the host's devices: root in a privileged pod can
// create a special file for the host's disk, but cannot open it.
func confineDevices(dir string) error {
	return confine(dir, &ebpf.ProgramSpec{Name: "skiff_devices", Type: ebpf.CGroupDevice, Instructions: deviceFilter()}, ebpf.AttachCGroupDevice)
}
