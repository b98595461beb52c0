package sandbox

import (
	"encoding/binary"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// nodeSysctls are the kernel settings that the programs of a node may change, next
// to those of their network namespace. Those below kernel and fs/mqueue belong to a
// pod's own IPC or UTS namespace; the others are limits of the host that privileged
// init containers of databases and file watchers raise. What is not listed would
// give root in a pod the host (kernel.core_pattern, kernel.modprobe) or change how
// all of its programs run.
var nodeSysctls = []string{
	"kernel/shmmax", "kernel/shmall", "kernel/shmmni", "kernel/shm_rmid_forced", "kernel/sem",
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/hostname", "kernel/domainname",
	"fs/mqueue/queues_max", "fs/mqueue/msg_max", "fs/mqueue/msgsize_max", "fs/mqueue/msg_default", "fs/mqueue/msgsize_default",
	"vm/max_map_count", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches", "fs/inotify/max_queued_events",
	"fs/file-max", "fs/nr_open", "fs/aio-max-nr",
}

const (
	// networkSysctls begins the names of settings of a network namespace.
	networkSysctls = "net/"
	// sysctlName is the space for the name of a setting, a multiple of 8 that is
	// larger than every name in nodeSysctls. A longer name is cut off.
	sysctlName = 40
)

// sysctlFilter returns the program that the kernel runs for each access to a file
// below /proc/sys, however it is mounted (struct bpf_sysctl in linux/bpf.h). It
// allows reads, and writes to networkSysctls and nodeSysctls.
func sysctlFilter() asm.Instructions {
	const allow, deny = "allow", "deny"
	filter := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // write
		asm.JEq.Imm(asm.R2, 0, allow),
	}
	for at := int16(-sysctlName); at < 0; at += 8 {
		filter = append(filter, asm.Mov.Imm(asm.R3, 0), asm.StoreMem(asm.RFP, at, asm.R3, asm.DWord))
	}
	filter = append(filter,
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -sysctlName),
		asm.Mov.Imm(asm.R3, sysctlName),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSysctlGetName.Call(),
		asm.LoadMem(asm.R2, asm.RFP, -sysctlName, asm.Word),
		asm.JEq.Imm(asm.R2, int32(binary.NativeEndian.Uint32([]byte(networkSysctls))), allow),
	)
	for i, name := range nodeSysctls {
		next := "after " + strconv.Itoa(i)
		var padded [sysctlName]byte
		copy(padded[:], name)
		for at := range sysctlName / 8 {
			filter = append(filter,
				asm.LoadMem(asm.R2, asm.RFP, int16(8*at-sysctlName), asm.DWord),
				asm.LoadImm(asm.R3, int64(binary.NativeEndian.Uint64(padded[8*at:])), asm.DWord),
				asm.JNE.Reg(asm.R2, asm.R3, next),
			)
		}
		filter = append(filter, asm.Ja.Label(allow), asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
	}
	return append(filter,
		asm.Mov.Imm(asm.R0, 0).WithSymbol(deny), asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol(allow), asm.Return(),
	)
}

// confineSysctls keeps the processes in a cgroup of the second version, and in all
// groups below it, from changing the host's kernel settings: a privileged pod mounts
// a /proc of its own, so a read-only mount would not stop it.
func confineSysctls(dir string) error {
	return confine(dir, &ebpf.ProgramSpec{Name: "skiff_sysctls", Type: ebpf.CGroupSysctl, Instructions: sysctlFilter()}, ebpf.AttachCGroupSysctl)
}
