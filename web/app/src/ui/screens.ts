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
  { path: "rights", title: "Your permissions", key: "u" },
  { path: "resources", title: "All resources", key: "r" },
];

/** Resources whose lists have a key, by that key after g. */
export const listKeys: Record<string, string> = {
  p: "pods",
  d: "deployments.apps",
  s: "services",
  i: "ingresses.networking.k8s.io",
  k: "configmaps",
  v: "persistentvolumeclaims",
  a: "serviceaccounts",
};
