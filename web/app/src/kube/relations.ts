// Relations between objects: from one object follow the queries for others. Pure
// functions; components run the queries.

import type { KubeObject, ObjectMeta, Pod } from "./types";
import { byKind, resourceID, type Ref, type Resource } from "./resource";

/** A group of related objects under one title. */
export type Relation =
  | { title: string; refs: Ref[] }
  | { title: string; query: RelatedQuery };

export interface RelatedQuery {
  resource: string;
  namespace: string;
  labels?: string;
  fields?: string;
  /** Only objects that this UID owns. */
  owner?: string;
}

/** selectorText returns the labels of a selector as a query parameter; empty if it selects nothing. */
export function selectorText(selector: unknown): string {
  if (typeof selector !== "object" || selector === null) return "";
  const s = selector as { matchLabels?: Record<string, string>; matchExpressions?: { key: string; operator: string; values?: string[] }[] };
  const isSelector = s.matchLabels !== undefined || s.matchExpressions !== undefined;
  const labels = isSelector ? s.matchLabels ?? {} : (selector as Record<string, string>);
  const parts = Object.entries(labels).map(([k, v]) => `${k}=${String(v)}`);
  for (const e of isSelector ? s.matchExpressions ?? [] : []) {
    switch (e.operator) {
      case "In": parts.push(`${e.key} in (${(e.values ?? []).join(",")})`); break;
      case "NotIn": parts.push(`${e.key} notin (${(e.values ?? []).join(",")})`); break;
      case "Exists": parts.push(e.key); break;
      case "DoesNotExist": parts.push(`!${e.key}`); break;
    }
  }
  return parts.join(",");
}

/** selects reports whether the labels of a service's selector are all there. */
export function selects(selector: Record<string, string> | undefined, labels: Record<string, string> | undefined): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([k, v]) => labels?.[k] === v);
}

function owners(meta: ObjectMeta, all: Map<string, Resource>): Ref[] {
  return (meta.ownerReferences ?? []).map((o) => refOf({ ...o, namespace: meta.namespace }, all)).filter((ref) => ref !== undefined);
}

const owned: Record<string, string[]> = {
  "deployments.apps": ["replicasets.apps"],
  "cronjobs.batch": ["jobs.batch"],
};

const selectsPods = ["deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "replicationcontrollers", "poddisruptionbudgets.policy"];

/** relations returns what an object belongs to and what belongs to it. */
export function relations(id: string, object: KubeObject, all: Map<string, Resource>): Relation[] {
  const meta = object.metadata;
  const namespace = meta.namespace ?? "";
  const found: Relation[] = [{ title: "Owner", refs: owners(meta, all) }];
  for (const child of owned[id] ?? []) {
    found.push({ title: all.get(child)?.kind ?? child, query: { resource: child, namespace, owner: meta.uid ?? "" } });
  }
  const labels = selectsPods.includes(id) ? selectorText(object.spec?.["selector"]) : "";
  if (labels !== "") {
    found.push({ title: "Pods", query: { resource: "pods", namespace, labels } });
  }
  const ref = (resource: string, name: string | undefined, ns = namespace): Ref[] => (name ? [{ resource, namespace: ns, name }] : []);
  switch (id) {
    case "pods":
      found.push(...podRelations(object as Pod, ref));
      break;
    case "nodes":
      found.push({ title: "Pods", query: { resource: "pods", namespace: "", fields: `spec.nodeName=${meta.name}` } });
      break;
    case "services": {
      const pods = selectorText(object.spec?.["selector"]);
      if (pods !== "") found.push({ title: "Pods", query: { resource: "pods", namespace, labels: pods } });
      found.push({ title: "Endpoint slices", query: { resource: "endpointslices.discovery.k8s.io", namespace, labels: `kubernetes.io/service-name=${meta.name}` } });
      break;
    }
    case "ingresses.networking.k8s.io":
      found.push({ title: "Services", refs: ingressServices(object).flatMap((name) => ref("services", name)) });
      break;
    case "persistentvolumeclaims":
      found.push({ title: "Volume", refs: ref("persistentvolumes", text(object.spec?.["volumeName"]), "") });
      found.push({ title: "Storage class", refs: ref("storageclasses.storage.k8s.io", text(object.spec?.["storageClassName"]), "") });
      break;
    case "persistentvolumes": {
      const claim = object.spec?.["claimRef"] as { namespace?: string; name?: string } | undefined;
      found.push({ title: "Claim", refs: ref("persistentvolumeclaims", claim?.name, claim?.namespace) });
      break;
    }
    case "horizontalpodautoscalers.autoscaling": {
      const scaled = refOf({ ...(object.spec?.["scaleTargetRef"] as ObjectReference | undefined), namespace }, all);
      found.push({ title: "Target", refs: scaled ? [scaled] : [] });
      break;
    }
    case "rolebindings.rbac.authorization.k8s.io":
    case "clusterrolebindings.rbac.authorization.k8s.io":
      found.push({ title: "Role", refs: role(object, namespace) });
      found.push({ title: "Service accounts", refs: subjects(object) });
      break;
  }
  return found.filter((r) => "query" in r || r.refs.length > 0);
}

function podRelations(pod: Pod, ref: (resource: string, name: string | undefined, ns?: string) => Ref[]): Relation[] {
  const spec = pod.spec;
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  const volumes = spec?.volumes ?? [];
  const sources = volumes.flatMap((v) => v.projected?.sources ?? []);
  const unique = (names: (string | undefined)[]) => [...new Set(names.filter((n) => n !== undefined && n !== ""))];
  const configs = unique([
    ...volumes.map((v) => v.configMap?.name),
    ...sources.map((s) => s.configMap?.name),
    ...containers.flatMap((c) => c.envFrom ?? []).map((e) => e.configMapRef?.name),
    ...containers.flatMap((c) => c.env ?? []).map((e) => e.valueFrom?.["configMapKeyRef"]?.name),
  ]);
  const secrets = unique([
    ...volumes.map((v) => v.secret?.secretName),
    ...sources.map((s) => s.secret?.name),
    ...containers.flatMap((c) => c.envFrom ?? []).map((e) => e.secretRef?.name),
    ...containers.flatMap((c) => c.env ?? []).map((e) => e.valueFrom?.["secretKeyRef"]?.name),
  ]);
  return [
    { title: "Node", refs: ref("nodes", spec?.nodeName, "") },
    { title: "Service account", refs: ref("serviceaccounts", spec?.serviceAccountName) },
    { title: "Config maps", refs: configs.flatMap((n) => ref("configmaps", n)) },
    { title: "Secrets", refs: secrets.flatMap((n) => ref("secrets", n)) },
    { title: "Volume claims", refs: unique(volumes.map((v) => v.persistentVolumeClaim?.claimName)).flatMap((n) => ref("persistentvolumeclaims", n)) },
  ];
}

function text(v: unknown): string {
  return typeof v === "string" ? v : "";
}

interface Backend {
  service?: { name?: string };
}

/** ingressServices returns the names of the services that an Ingress sends requests to. */
export function ingressServices(ingress: KubeObject): string[] {
  const spec = ingress.spec as { defaultBackend?: Backend; rules?: { http?: { paths?: { backend?: Backend }[] } }[] } | undefined;
  const backends = [spec?.defaultBackend, ...(spec?.rules ?? []).flatMap((r) => (r.http?.paths ?? []).map((p) => p.backend))];
  return [...new Set(backends.map((b) => b?.service?.name).filter((n) => n !== undefined))];
}

function role(binding: KubeObject, namespace: string): Ref[] {
  const r = binding["roleRef"] as { kind?: string; name?: string } | undefined;
  if (!r?.name) return [];
  return r.kind === "ClusterRole"
    ? [{ resource: "clusterroles.rbac.authorization.k8s.io", namespace: "", name: r.name }]
    : [{ resource: "roles.rbac.authorization.k8s.io", namespace, name: r.name }];
}

function subjects(binding: KubeObject): Ref[] {
  const all = (binding["subjects"] ?? []) as { kind?: string; name?: string; namespace?: string }[];
  return all.flatMap((s) => (s.kind === "ServiceAccount" && s.name ? [{ resource: "serviceaccounts", namespace: s.namespace ?? "", name: s.name }] : []));
}

interface ObjectReference {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  name?: string | undefined;
  namespace?: string | undefined;
}

/** refOf returns the object that a reference in another object names; undefined if the server does not serve its kind. */
export function refOf(o: ObjectReference | undefined, all: Map<string, Resource>): Ref | undefined {
  const r = byKind(all.values(), o?.apiVersion ?? "", o?.kind ?? "");
  return r && o?.name ? { resource: resourceID(r), namespace: r.namespaced ? o.namespace ?? "" : "", name: o.name } : undefined;
}

/** Resources whose objects select pods, so that their logs can be shown together. */
export const hasPods = ["deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "services"];
