package apiserver

// AuditPolicy records who changed what and who went into pods, without bodies.
// What components do all the time, and all reading but that of secrets, is left
// out, so that a laptop's disk is not worn by it.
const AuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["*"]
- level: None
  resources:
  - group: ""
    resources: [events]
  - group: events.k8s.io
  - group: coordination.k8s.io
  - group: authentication.k8s.io
    resources: [tokenreviews]
  - group: authorization.k8s.io
- level: Metadata
  resources:
  - group: ""
    resources: [pods/exec, pods/attach, pods/portforward, pods/proxy, services/proxy, nodes/proxy]
- level: None
  userGroups: [system:nodes, system:serviceaccounts:kube-system]
- level: None
  users: [system:apiserver, system:kube-scheduler, system:kube-controller-manager]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets]
- level: None
  verbs: [get, list, watch]
- level: Metadata
`
