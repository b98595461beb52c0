//go:build !linux

package addressing

// MTU of every link of the machines' network, in bytes. Virtualization.framework's
// network devices carry no larger packets unless they are told to.
const MTU = 1500
