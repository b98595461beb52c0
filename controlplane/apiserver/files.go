package apiserver

// AuditPolicy records metadata of writes, of sessions in pods and of access to
// secrets, whoever makes them. It leaves out other reads and what components
// write all the time, which would wear a laptop's disk.
const AuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["*"]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets]
- level: Metadata
  verbs: [create]
  resources:
  - group: ""
    resources: [serviceaccounts/token]
- level: Metadata
  resources:
  - group: ""
    resources: [pods/exec, pods/attach, pods/portforward, pods/proxy, services/proxy, nodes/proxy]
- level: None
  verbs: [get, list, watch]
- level: None
  resources:
  - group: ""
    resources: [events]
  - group: events.k8s.io
  - group: coordination.k8s.io
  - group: authentication.k8s.io
    resources: [tokenreviews]
  - group: authorization.k8s.io
- level: None
  userGroups: [system:nodes]
  resources:
  - group: ""
    resources: [nodes/status, pods/status]
- level: None
  userGroups: [system:serviceaccounts:kube-system]
- level: None
  users: [system:apiserver, system:kube-scheduler, system:kube-controller-manager]
- level: Metadata
`
