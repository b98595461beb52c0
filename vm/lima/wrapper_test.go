package lima

import (
	"slices"
	"strings"
	"testing"
)

// limaArguments are the arguments that Lima 2.2.0 passes to QEMU 7.2 for a machine.
var limaArguments = []string{
	"-machine", "q35,vmport=off", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,-la57",
	"-m", "2048", "-smp", "2,sockets=1,cores=2,threads=1",
	"-device", "qemu-xhci,id=usb-bus",
	"-drive", "if=pflash,format=raw,readonly=on,file=/h/vm/worker-1/qemu-efi-code.fd",
	"-drive", "file=/h/vm/worker-1/disk,if=none,discard=on,id=boot-disk",
	"-device", "virtio-blk-pci,drive=boot-disk,bootindex=1",
	"-boot", "order=c,splash-time=0,menu=on",
	"-drive", "file=/h/vm/_disks/worker-1/datadisk,if=virtio,discard=on",
	"-drive", "id=cdrom0,if=none,format=raw,readonly=on,file=/h/vm/worker-1/cidata.iso",
	"-device", "virtio-scsi,id=scsi0", "-device", "scsi-cd,bus=scsi0.0,drive=cdrom0",
	"-kernel", "/h/vm/worker-1/kernel", "-append", "-quiet console=ttyS0", "-initrd", "/h/vm/worker-1/initrd",
	"-netdev", "user,id=net0,net=192.168.5.0/24,dhcpstart=192.168.5.15,hostfwd=tcp:127.0.0.1:0-:22",
	"-device", "virtio-net-pci,netdev=net0,mac=52:55:55:aa:bb:cc",
	"-netdev", "socket,id=net1,fd=3", "-device", "virtio-net-pci,netdev=net1,mac=52:55:c0:a8:68:15",
	"-device", "virtio-rng-pci", "-display", "none", "-vga", "none", "-parallel", "none",
	"-chardev", "socket,id=char-serial,path=/h/vm/worker-1/serial.sock,server=on,wait=off,logfile=/h/vm/worker-1/serial.log",
	"-serial", "chardev:char-serial",
	"-chardev", "socket,id=char-serial-virtio,path=/h/vm/worker-1/serialv.sock,server=on,wait=off,logfile=/h/vm/worker-1/serialv.log",
	"-device", "virtio-serial-pci,id=virtio-serial0,max_ports=1",
	"-device", "virtconsole,chardev=char-serial-virtio,id=console0",
	"-chardev", "socket,id=char-qmp,path=/h/vm/worker-1/qmp.sock,server=on,wait=off", "-qmp", "chardev:char-qmp",
	"-name", "lima-worker-1", "-pidfile", "/h/vm/worker-1/qemu.pid",
}

func TestArgumentsKeepOnlyWhatANodeUses(t *testing.T) {
	got, err := arguments(limaArguments)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-nodefaults", "-no-user-config",
		"-machine", "q35,vmport=off", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,-la57",
		"-m", "2048", "-smp", "2,sockets=1,cores=2,threads=1",
		"-drive", "file=/h/vm/worker-1/disk,if=none,discard=on,id=boot-disk,format=qcow2",
		"-device", "virtio-blk-pci,drive=boot-disk,bootindex=1",
		"-drive", "file=/h/vm/_disks/worker-1/datadisk,if=virtio,discard=on,format=qcow2",
		"-drive", "id=cdrom0,if=none,format=raw,readonly=on,file=/h/vm/worker-1/cidata.iso",
		"-device", "virtio-scsi,id=scsi0", "-device", "scsi-cd,bus=scsi0.0,drive=cdrom0",
		"-kernel", "/h/vm/worker-1/kernel", "-append", "-quiet console=ttyS0", "-initrd", "/h/vm/worker-1/initrd",
		"-netdev", "socket,id=net1,fd=3", "-device", "virtio-net-pci,netdev=net1,mac=52:55:c0:a8:68:15",
		"-device", "virtio-rng-pci", "-display", "none", "-vga", "none", "-parallel", "none",
		"-chardev", "socket,id=char-serial,path=/h/vm/worker-1/console.sock", "-serial", "chardev:char-serial",
		"-chardev", "socket,id=char-qmp,path=/h/vm/worker-1/qmp.sock,server=on,wait=off", "-qmp", "chardev:char-qmp",
		"-name", "lima-worker-1", "-pidfile", "/h/vm/worker-1/qemu.pid",
	}
	if !slices.Equal(got, want) {
		t.Errorf("arguments:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestArgumentsRejectPortsOnTheHost(t *testing.T) {
	for _, netdev := range []string{
		"user,id=net7,restrict=on",
		"socket,id=net1,hostfwd=tcp::22-:22",
	} {
		if got, err := arguments([]string{"-netdev", netdev}); err == nil {
			t.Errorf("arguments of %s = %v, want an error", netdev, got)
		}
	}
}

func TestMachineDirIsEmptyWithoutAMachine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{limaArguments, "/h/vm/worker-1"},
		{[]string{"-M", "none", "-accel", "help"}, ""},
		{[]string{"-pidfile"}, ""},
	} {
		if got := machineDir(test.args); got != test.want {
			t.Errorf("machineDir = %q, want %q", got, test.want)
		}
	}
}

func TestIsQEMUDependsOnTheName(t *testing.T) {
	for name, want := range map[string]bool{
		"/h/vm/_bin/qemu-system-x86_64": true, "qemu-system-aarch64": true,
		"/usr/bin/skiff": false, "skiff": false, "qemu-img": false,
	} {
		if got := IsQEMU(name); got != want {
			t.Errorf("IsQEMU(%s) = %t", name, got)
		}
	}
}
