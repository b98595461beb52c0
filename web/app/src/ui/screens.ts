// The screens that are not lists of one kind of object.

export interface ScreenLink {
  path: string;
  title: string;
  key: string; // after g
}

export const screens: ScreenLink[] = [
  { path: "overview", title: "Overview", key: "o" },
  { path: "map", title: "Map", key: "m" },
  { path: "nodes", title: "Nodes", key: "n" },
  { path: "workloads", title: "All workloads", key: "w" },
  { path: "events", title: "Events", key: "e" },
  { path: "logs", title: "Logs", key: "l" },
  { path: "forwards", title: "Port-forwards", key: "f" },
  { path: "create", title: "Create", key: "c" },
  { path: "rights", title: "Your rights", key: "u" },
  { path: "resources", title: "All resources", key: "r" },
];

/** Lists of one kind of object that have a key of their own. */
export const listKeys: { resource: string; title: string; key: string }[] = [
  { resource: "pods", title: "Pods", key: "p" },
  { resource: "deployments.apps", title: "Deployments", key: "d" },
  { resource: "services", title: "Services", key: "s" },
  { resource: "ingresses.networking.k8s.io", title: "Ingresses", key: "i" },
  { resource: "configmaps", title: "Config maps", key: "k" },
  { resource: "persistentvolumeclaims", title: "Volume claims", key: "v" },
  { resource: "serviceaccounts", title: "Access", key: "a" },
];
