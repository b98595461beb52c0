package main

// sandbox is the driver whose nodes share the host's kernel.
const sandbox = "sandbox"

// exclusion says which tests are left out, and why.
type exclusion struct {
	// pattern is a regular expression for names, tags included.
	pattern, reason string
	// sandbox is set if the reason holds for nodes of that driver alone.
	sandbox bool
}

// everywhere is left out of every suite.
var everywhere = []exclusion{
	{pattern: `\[Feature:OffByDefault\]`, reason: "the feature's gate is off by default in this release"},
	{pattern: `\[Flaky\]`, reason: "upstream itself does not trust it"},
	{pattern: `\[Feature:Windows\]|\[sig-windows\]`, reason: "needs nodes with Windows"},
}

// byHand are the disruptive tests. Two others call themselves so and only change an
// object that tests beside them would mind; they run alone.
var byHand = exclusion{
	pattern: `disruptive \[Disruptive\]|while kubelet is down|kubelet stopped|DaemonRestart|GenericPersistentVolume|NonGracefulNodeShutdown`,
	reason:  "restarts kubelets or takes nodes away by ssh and systemd, as upstream's clouds let it",
}

var networkPolicies = []exclusion{
	{pattern: `\[Feature:SCTPConnectivity\]|SCTP`, reason: "needs SCTP in the kernel, a module that containers' hosts do not load; not tried on virtual machines"},
}

var applications = []exclusion{
	byHand,
	{pattern: `\[Feature:StatefulSet\]`, reason: "deploys ZooKeeper, Redis, MySQL and CockroachDB from images that only a registry has"},
}

// ours are the types of volumes that need nothing but a node, without our
// storage class; upstream tries each with all patterns that any type knows.
const ours = `\[Driver: (hostPath|hostPathSymlink|emptydir|local)\]`

// volumes are left out of the storage suite: first the types that nodes of ours
// cannot have, then the patterns that upstream skips with a type, then what
// belongs to none.
var volumes = []exclusion{
	byHand,
	{pattern: `\[Driver: (aws|azure-disk|azure-file|cinder|gcepd|windows-gcepd|vsphere|pd\.csi\.storage\.gke\.io)\]|gce-localssd|\[Feature:vsphere\]|Pod Disks`, reason: "needs a cloud's disks"},
	{pattern: `\[Driver: (nfs3?|nfs4|iscsi)\]|NFS|\[Feature:Volumes\]|\[Feature:NFS\]|DynamicProvisioner External`, reason: "needs the images of an NFS or iSCSI server, which only a registry has"},
	{pattern: `\[Driver: csi-hostpath\]|CSI Mock|CSI Volumes|CSI Inline|\[Driver: mock`, reason: "needs the CSI hostpath driver or the node driver registrar, which only a registry has, and no module proxy"},
	{pattern: `\[Feature:(VolumeSnapshotDataSource|VolumeGroupSnapshotDataSource|volumegroupsnapshot|SnapshotMetadata)\]|Snapshot`, reason: "needs the snapshot controller and its CRDs, which are no part of Kubernetes"},
	{pattern: `\[Feature:(Flexvolumes|StorageProvider)\]|Flexvolume`, reason: "needs ssh to install drivers on the nodes, or a cloud's provisioner"},
	{pattern: `\[(Local)?Volume ?[Tt]ype: block|loopback local block volume`, sandbox: true, reason: "needs loop devices, which belong to the kernel and would outlive the node"},

	{pattern: ours + `.*\[Testpattern: (Dynamic|Generic Ephemeral|CSI Ephemeral)`, reason: "nothing provisions this type of volume"},
	{pattern: `\[Driver: (hostPath|hostPathSymlink|emptydir)\].*\[Testpattern: Pre-provisioned`, reason: "the type is part of a pod, never a PersistentVolume"},
	{pattern: `\[Driver: local\].*\[Testpattern: Inline`, reason: "the type is a PersistentVolume, never part of a pod"},
	{pattern: `(hostPath|hostPathSymlink|emptydir|: dir|-link|-bindmounted|tmpfs|blockfs|skiff-local)\].*\[Testpattern: [^]]*\((ext3|ext4|xfs)\)|: block\].*\((ext3|xfs)\)`, reason: "the volume is a directory, whose file system is not chosen"},
	{pattern: `(: dir|-link|-bindmounted|tmpfs|blockfs|skiff-local)\].*\[Testpattern: [^]]*\(block volmode\)`, reason: "the volume is a directory, not a block device"},
	{pattern: `skiff-local\].*\[Testpattern: CSI Ephemeral`, reason: "the storage class is no CSI driver"},
	{pattern: `skiff-local\].*immediate`, reason: "a local volume waits for its pod to know its node"},
	{pattern: `skiff-local\].*(volume-expand|expansion)`, reason: "a directory has no size that could grow"},

	{pattern: `\[Feature:VolumeSourceXFS\]`, reason: "needs XFS tools in the nodes"},
	{pattern: `Volume metrics|DynamicProvisioner Default|Invalid AWS KMS key`, reason: "runs on upstream's clouds alone, by their names"},
}
