package main

import "slices"

// sandbox is the driver whose nodes share the host's kernel.
const sandbox = "sandbox"

// exclusion is a set of tests that are left out, and the reason.
type exclusion struct {
	// pattern is a regular expression for names, tags included.
	pattern, reason string
	// sandbox restricts the exclusion to nodes of that driver.
	sandbox bool
	// unless reports whether sandboxes on this host can run the tests after all. It
	// may be nil.
	unless func() bool
}

// everywhere lists what every suite leaves out.
var everywhere = []exclusion{
	{pattern: `\[Feature:OffByDefault\]`, reason: "the feature's gate is off by default in this release"},
	{pattern: `\[Flaky\]`, reason: "upstream marks it as flaky"},
	{pattern: `\[Feature:Windows\]|\[sig-windows\]`, reason: "needs Windows nodes"},
	{pattern: `PrivilegedPod .*should enable privileged commands`, sandbox: true, unless: hasDummyInterfaces, reason: "adds an interface of type dummy, which this host's kernel does not have"},
	{pattern: `PLR guaranteed qos.*(cpu & mem|cpu|mem) restart`, sandbox: true, unless: mayLowerOOMScores, reason: "expects an OOM score of -997 after a restart; without CAP_SYS_RESOURCE, nothing on this host may lower one"},
}

// byHand are disruptive tests that need ssh. Others are called disruptive because
// they affect tests that run at the same time; those run alone.
var byHand = exclusion{
	pattern: `disruptive \[Disruptive\]|while kubelet is down|kubelet stopped|DaemonRestart|GenericPersistentVolume|NonGracefulNodeShutdown`,
	reason:  "restarts kubelets or removes nodes through ssh and systemd, as upstream's clouds allow",
}

var sctp = []exclusion{
	{pattern: `\[Feature:SCTPConnectivity\]|SCTP`, reason: "needs SCTP in the kernel, a module that container hosts do not load; not tried on VMs"},
}

var applications = []exclusion{
	byHand,
	{pattern: `\[Feature:StatefulSet\]`, reason: "deploys ZooKeeper, Redis, MySQL and CockroachDB from images that are only available in a registry"},
	{pattern: `\[Feature:StatefulUpgrade\]`, reason: "upgrades the cluster with a cloud's scripts"},
	{pattern: `cloud load-balancer|with a private image`, reason: "needs a cloud's load balancer or private registry"},
}

// presubmit is what upstream's job pull-kubernetes-e2e-kind, which selects tests with
// the label filter "Feature: isEmpty && !Slow && !Disruptive && !Flaky", leaves out,
// and which tests of the others skip themselves on any cluster but upstream's clouds.
// What our nodes cannot mount is left out as in the storage suite.
var presubmit = slices.Concat([]exclusion{
	{pattern: `\[Slow\]`, reason: "left out of upstream's job: takes minutes"},
	{pattern: `\[Disruptive\]`, reason: "left out of upstream's job: breaks nodes or control plane"},
	{pattern: `\[Feature:`, reason: "left out of upstream's job: needs what a default cluster does not have; the other suites run some of them"},
	{pattern: `\[Driver: skiff-local\]`, reason: "tests our storage class: suite storage"},
}, volumes, []exclusion{
	{pattern: `\[Provider:GCE\]|cloud load-balancer|with a private image`, reason: "needs a cloud's names, load balancer or private registry"},
	{pattern: `AppArmor load`, reason: "runs only on upstream's node images, by their names"},
	{pattern: `SSH to all nodes|run crictl`, reason: "needs ssh, as upstream's clouds allow"},
	{pattern: `Multi-AZ|Topology Hints|Traffic Distribution`, reason: "needs nodes in several zones"},
	{pattern: `Mount propagation should propagate`, reason: "looks for a process named kubelet; ours is part of skiff-nodeagent"},
	{pattern: `metrics from a (Scheduler|ControllerManager)`, reason: "reads the metrics of pods; our control plane is a program on the node"},
	{pattern: `requests can't be drowned out`, reason: "upstream skips it while it is flaky"},
	{pattern: `SSR in different API groups authentication/v1(alpha|beta)1`, reason: "asks for an API that is off by default in this release"},
	{pattern: `exec through an HTTP proxy`, reason: "needs an API server that is not on localhost"},
})

var loadBalancers = []exclusion{
	{pattern: `ExternalTrafficPolicy: Local .*should work for type=LoadBalancer`, reason: "takes any client in the nodes' subnet for a translated address, and the test program is there"},
}

// Beginnings of the names of tests that upstream generates for every type of
// volume, whether or not the type supports them: inTree needs only a node, mounted
// is the same without a block device, class is our own storage class.
const (
	inTree  = `\[Driver: (hostPath|hostPathSymlink|emptydir|local)\]`
	mounted = `\[Driver: (hostPath|hostPathSymlink|emptydir|skiff-local|local\] \[LocalVolumeType: (dir[a-z-]*|tmpfs|blockfs))\]`
	class   = `\[Driver: skiff-local\]`
)

// volumes are left out of the storage suite: first the types that our nodes cannot
// have, then what a type cannot do, then the rest.
var volumes = []exclusion{
	byHand,
	{pattern: `\[Driver: (aws|azure-disk|azure-file|cinder|gcepd|windows-gcepd|vsphere|pd\.csi\.storage\.gke\.io)\]|gce-localssd|\[Feature:vsphere\]|Pod Disks`, reason: "needs a cloud's disks"},
	{pattern: `\[Driver: (nfs3?|nfs4|iscsi)\]|NFS|\[Feature:Volumes\]|\[Feature:NFS\]|DynamicProvisioner External`, reason: "needs the images of an NFS or iSCSI server, which only a registry has"},
	{pattern: `\[Driver: csi-hostpath\]|CSI Mock|CSI Volumes|CSI Inline|\[Driver: mock|MutableCSINodeAllocatableCount`, reason: "needs the CSI hostpath driver or the node driver registrar, which only a registry has, and no module proxy"},
	{pattern: `\[Feature:(VolumeSnapshotDataSource|VolumeGroupSnapshotDataSource|volumegroupsnapshot|SnapshotMetadata)\]|Snapshot`, reason: "needs the snapshot controller and its CRDs, which are not part of Kubernetes"},
	{pattern: `\[Feature:(Flexvolumes|StorageProvider)\]|Flexvolume`, reason: "needs ssh to install drivers on the nodes, or a cloud's provisioner"},

	{pattern: inTree + `.*\[Testpattern: (Dynamic|Generic Ephemeral|CSI Ephemeral)`, reason: "nothing provisions this type of volume"},
	{pattern: class + `.*\[Testpattern: (Inline|Pre-provisioned|CSI Ephemeral)`, reason: "a storage class makes volumes on demand, and is not a CSI driver"},
	{pattern: `\[Driver: (hostPath|hostPathSymlink|emptydir)\].*\[Testpattern: Pre-provisioned`, reason: "the type is part of a pod, never a PersistentVolume"},
	{pattern: `\[Driver: local\].*\[Testpattern: Inline`, reason: "the type is a PersistentVolume, never part of a pod"},
	{pattern: mounted + `.*\[Testpattern: [^]]*\((ext3|ext4|xfs)\)|: block\].*\((ext3|xfs)\)`, reason: "the volume is mounted already, or its file system is the node's"},
	{pattern: mounted + `.*(\(block volmode\)[^]]*\] (\[[^]]*\] )*([^[v]|volume[^M]|volumeMode should (not|fail to use))|different volume mode|mismatched mode)`, reason: "the volume is a directory, not a block device"},
	{pattern: `(` + class + `|Pre-provisioned).*multiVolume.*different node`, reason: "the volume is on one node"},
	{pattern: `Pre-provisioned.*multiVolume.*access to two volumes`, reason: "needs volumes that are made on demand"},
	{pattern: class + `.*immediate`, reason: "a local volume waits until its pod knows its node"},
	{pattern: class + `.*pvc data source`, reason: "the class is described to upstream without cloning"},
	{pattern: class + `.*multiple PV pointing`, reason: "upstream copies the volume without its node, which the API refuses for a local one"},
	{pattern: `\[Driver: (hostPath|hostPathSymlink|emptydir)\].*(readOnly specified in the volumeSource|cannot write to subpath readonly)`, reason: "the type has no readOnly of its own"},
	{pattern: class + `.*(any volume data source|volumeLimits|capacity|volume-modify|seLinuxMount|lifecycle-performance)`, reason: "asks for what only CSI drivers have: populators, limits, capacity, attributes, SELinux contexts"},
	{pattern: `\[Driver: (hostPath|hostPathSymlink|local\] \[LocalVolumeType: dir[a-z-]*)\].*allow exec`, reason: "upstream does not expect directories of a node to allow it"},
	{pattern: `\[(Local)?Volume ?[Tt]ype: block|loopback local block volume`, sandbox: true, reason: "needs loop devices, which belong to the kernel and would outlive the node"},

	{pattern: `\[Feature:VolumeSourceXFS\]`, reason: "needs XFS tools in the nodes"},
	{pattern: `Volume metrics|DynamicProvisioner Default|Invalid AWS KMS key`, reason: "runs only on upstream's clouds, by their names"},
}
