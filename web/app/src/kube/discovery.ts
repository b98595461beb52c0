// Discovery: which resources the API server serves, from the aggregated documents of
// /api and /apis.

import { resourceID, type Resource } from "./resource";

export const discoveryAccept =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

interface ResourceDiscovery {
  resource?: string;
  responseKind?: { kind?: string };
  scope?: string;
  verbs?: string[];
  shortNames?: string[];
  categories?: string[];
  subresources?: { subresource?: string }[];
}

interface GroupDiscovery {
  metadata?: { name?: string };
  versions?: { version?: string; resources?: ResourceDiscovery[] }[];
}

export interface GroupDiscoveryList {
  items?: GroupDiscovery[];
}

/**
 * parseDiscovery returns all resources by their ID. Each has the group's preferred
 * version that serves it: the server lists versions in the order of preference.
 */
export function parseDiscovery(lists: GroupDiscoveryList[]): Map<string, Resource> {
  const all = new Map<string, Resource>();
  for (const group of lists.flatMap((l) => l.items ?? [])) {
    for (const version of group.versions ?? []) {
      for (const found of version.resources ?? []) {
        const r = fromDiscovery(group.metadata?.name ?? "", version.version ?? "", found);
        const id = resourceID(r);
        if (r.name !== "" && r.kind !== "" && !all.has(id)) {
          all.set(id, r);
        }
      }
    }
  }
  return all;
}

function fromDiscovery(group: string, version: string, found: ResourceDiscovery): Resource {
  return {
    group,
    version,
    name: found.resource ?? "",
    kind: found.responseKind?.kind ?? "",
    namespaced: found.scope === "Namespaced",
    verbs: found.verbs ?? [],
    shortNames: found.shortNames ?? [],
    categories: found.categories ?? [],
    subresources: (found.subresources ?? []).map((s) => s.subresource ?? ""),
  };
}

/** find returns the resource that a name means: its ID, plural, short name or kind. */
export function find(all: Map<string, Resource>, name: string): Resource | undefined {
  const wanted = name.toLowerCase();
  const exact = all.get(wanted);
  if (exact) {
    return exact;
  }
  for (const r of all.values()) {
    if (r.name === wanted || r.kind.toLowerCase() === wanted || r.shortNames.includes(wanted)) {
      return r;
    }
  }
  return undefined;
}
