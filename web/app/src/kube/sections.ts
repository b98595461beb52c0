// How resources are grouped in the navigation.

import { plural, resourceID, type Resource } from "./resource";

export interface Section {
  title: string;
  resources: string[];
}

export const sections: Section[] = [
  { title: "Workloads", resources: ["pods", "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "cronjobs.batch", "horizontalpodautoscalers.autoscaling", "poddisruptionbudgets.policy"] },
  { title: "Network", resources: ["services", "ingresses.networking.k8s.io", "gateways.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io", "endpointslices.discovery.k8s.io", "networkpolicies.networking.k8s.io"] },
  { title: "Configuration", resources: ["configmaps", "secrets", "resourcequotas", "limitranges"] },
  { title: "Storage", resources: ["persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"] },
  { title: "Access", resources: ["serviceaccounts", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io"] },
];

export function sectionOf(id: string): Section | undefined {
  return sections.find((s) => s.resources.includes(id));
}

const titles: Record<string, string> = {
  persistentvolumeclaims: "Volume claims",
  persistentvolumes: "Volumes",
  "horizontalpodautoscalers.autoscaling": "Autoscalers",
  "poddisruptionbudgets.policy": "Disruption budgets",
  "httproutes.gateway.networking.k8s.io": "HTTP routes",
};

/** title returns the name of a resource's list: "Config maps", "Cron jobs". */
export function title(id: string, r: Resource | undefined): string {
  const known = titles[id];
  if (known) return known;
  return r ? words(plural(r.kind)) : id;
}

/** words separates a kind's words: "ConfigMaps" becomes "Config maps", "CSIDrivers" "CSI drivers". */
export function words(kind: string): string {
  const parts = kind.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2").split(" ");
  return parts.map((p, i) => (i === 0 || /^[A-Z]{2,}/.test(p) ? p : p.toLowerCase())).join(" ");
}

const builtin = /(^|\.)k8s\.io$|^(apps|batch|autoscaling|policy|)$/;

/** customResources returns the resources that definitions have added, by ID. */
export function customResources(all: Map<string, Resource>): [string, Resource][] {
  const listed = new Set(sections.flatMap((s) => s.resources));
  return [...all].filter(([id, r]) => !builtin.test(r.group) && !listed.has(id) && r.verbs.includes("list"))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

export function listable(all: Map<string, Resource>): [string, Resource][] {
  return [...all].filter(([, r]) => r.verbs.includes("list")).sort(([, a], [, b]) => {
    const x = `${a.group}/${a.name}`;
    const y = `${b.group}/${b.name}`;
    return x < y ? -1 : x > y ? 1 : resourceID(a) < resourceID(b) ? -1 : 1;
  });
}
