//go:build !kubernetes_before_1_37

package simulation

import fwk "k8s.io/kube-scheduler/framework"

// HavePodsWithRequiredNonHostScopedAntiAffinityList implements fwk.NodeInfoLister. It returns
// nodes whose pods have host-scoped terms, too, which are checked like the others.
func (l lister) HavePodsWithRequiredNonHostScopedAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.HavePodsWithRequiredAntiAffinityList()
}
