// A resource is what the API server serves under one path, such as deployments.apps.

export interface Resource {
  group: string; // empty for the core group
  version: string;
  name: string; // plural, as in paths
  kind: string;
  namespaced: boolean;
  verbs: string[];
  shortNames: string[];
  categories: string[];
  subresources: string[];
}

/** Identifies one object. The namespace is empty for objects of the whole cluster. */
export interface Ref {
  resource: string; // ID of the resource
  namespace: string;
  name: string;
  /** UID of the object that the user saw, so that a later one of the same name is not deleted in its place. */
  uid?: string | undefined;
}

/** resourceID returns "pods" or "deployments.apps". */
export function resourceID(r: { group: string; name: string }): string {
  return r.group === "" ? r.name : `${r.name}.${r.group}`;
}

/** resourcePath returns the path of a collection or, with a name, of one object. */
export function resourcePath(r: Resource, namespace = "", name = "", subresource = ""): string {
  const parts = r.group === "" ? ["api", r.version] : ["apis", r.group, r.version];
  if (r.namespaced && namespace !== "") {
    parts.push("namespaces", namespace);
  }
  parts.push(r.name);
  if (name !== "") {
    parts.push(name);
  }
  if (subresource !== "") {
    parts.push(subresource);
  }
  return "/" + parts.map(encodeURIComponent).join("/");
}

export function can(r: Resource, verb: string): boolean {
  return r.verbs.includes(verb);
}

/** groupOf returns the group of an apiVersion, "apps" of "apps/v1". */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}

/** byKind finds the resource of a kind, whatever its version. */
export function byKind(all: Iterable<Resource>, apiVersion: string, kind: string): Resource | undefined {
  const group = groupOf(apiVersion);
  for (const r of all) {
    if (r.kind === kind && r.group === group) {
      return r;
    }
  }
  return undefined;
}

/** plural returns a title for a list: "Deployments", "NetworkPolicies", "Ingresses". */
export function plural(kind: string): string {
  if (/(s|x|ch|sh)$/.test(kind)) {
    return kind === "Endpoints" ? kind : kind + "es";
  }
  return /[^aeiou]y$/.test(kind) ? kind.slice(0, -1) + "ies" : kind + "s";
}
