package main

import (
	"fmt"
	"regexp"
	"strings"
)

// suite is a set of upstream's tests beyond conformance.
type suite struct {
	name string
	// focus is a regular expression for the names of its tests, tags included.
	focus string
	// without are the tests among them that cannot say anything about a cluster
	// of ours.
	without []exclusion
}

// exclusion says which tests are left out, and why.
type exclusion struct{ pattern, reason string }

// everywhere is left out of every suite.
var everywhere = []exclusion{
	{`\[Feature:OffByDefault\]`, "the feature's gate is off by default in this release"},
	{`\[Flaky\]`, "upstream itself does not trust it"},
	{`\[Feature:Windows\]|\[sig-windows\]`, "needs nodes with Windows"},
	{`\[Disruptive\]`, "restarts kubelets or takes nodes away by ssh, as upstream's clouds let it"},
}

// suites are what `-suite` names.
var suites = []suite{
	{name: "node", focus: `\[NodeConformance\]`},
	{
		// Where the kernel has nft_queue: a sandbox on one that lacks it lets
		// everything through.
		name: "networkpolicy", focus: `\[Feature:NetworkPolicy\]`,
		without: []exclusion{
			{`\[Feature:SCTPConnectivity\]|SCTP`, "needs SCTP in the kernel, a module that neither containers' hosts nor our nodes load"},
		},
	},
	{
		name: "apps", focus: `\[sig-apps\]`,
		without: []exclusion{
			{`\[Feature:StatefulSet\]`, "deploys ZooKeeper, Redis, MySQL and CockroachDB from images that only a registry has"},
		},
	},
	{
		name: "storage", focus: `\[sig-storage\]`,
		without: []exclusion{
			{`\[Driver: (aws|azure-disk|azure-file|cinder|gcepd|windows-gcepd|vsphere|pd\.csi\.storage\.gke\.io)\]|gce-localssd|\[Feature:vsphere\]|Pod Disks`, "needs a cloud's disks"},
			{`\[Driver: (nfs3?|nfs4|iscsi)\]|NFS|\[Feature:Volumes\]|\[Feature:NFS\]`, "needs the host's NFS or iSCSI server, and their images"},
			{`\[Driver: csi-hostpath\]|CSI Mock|CSI Volumes|CSI Inline|\[Driver: mock`, "needs the CSI sidecars' images, which only a registry has"},
			{`\[Feature:(VolumeSnapshotDataSource|VolumeGroupSnapshotDataSource|volumegroupsnapshot|SnapshotMetadata)\]`, "needs the snapshot controller and its CRDs, which are no part of Kubernetes"},
			{`\[Feature:(Flexvolumes|StorageProvider)\]|Flexvolume`, "needs ssh to install drivers on the nodes, or a cloud's provisioner"},
			{`\[Feature:VolumeSourceXFS\]`, "needs XFS tools in the nodes"},
		},
	},
}

func findSuite(name string) (suite, error) {
	for _, s := range suites {
		if s.name == name {
			return s, nil
		}
	}
	return suite{}, fmt.Errorf("no suite %q; there are %s", name, strings.Join(suiteNames(), ", "))
}

func suiteNames() []string {
	var known []string
	for _, s := range suites {
		known = append(known, s.name)
	}
	return known
}

// exclusions are all of a suite's.
func (s suite) exclusions() []exclusion {
	return append(append([]exclusion{}, everywhere...), s.without...)
}

// skip is what ginkgo is told to leave out.
func (s suite) skip() []string {
	var patterns []string
	for _, e := range s.exclusions() {
		patterns = append(patterns, e.pattern)
	}
	return patterns
}

// selection is what a suite is made of.
type selection struct {
	parallel, serial int
	// without counts the tests that each exclusion leaves out, the first that
	// matches; by its place among the suite's exclusions.
	without []int
}

// choose goes through the names of all of upstream's tests.
func (s suite) choose(names []string) selection {
	focus := regexp.MustCompile(s.focus)
	var skips []*regexp.Regexp
	for _, pattern := range s.skip() {
		skips = append(skips, regexp.MustCompile(pattern))
	}
	chosen := selection{without: make([]int, len(skips))}
next:
	for _, name := range names {
		if !focus.MatchString(name) {
			continue
		}
		for i, skip := range skips {
			if skip.MatchString(name) {
				chosen.without[i]++
				continue next
			}
		}
		if strings.Contains(name, serial) {
			chosen.serial++
		} else {
			chosen.parallel++
		}
	}
	return chosen
}
