// The map of a cluster: which objects are in it, how they are connected, and where
// they are drawn. Pure functions.

import type { Row } from "../data/collection";
import { ingressServices, selects } from "./relations";
import type { Ref } from "./resource";
import { cell, rowHealth, type Health } from "./status";
import type { TableColumn } from "./types";

export interface Input {
  ingresses: Row[]; // objects
  services: Row[]; // objects
  replicaSets: Row[];
  pods: Row[]; // rows of the table
  podColumns: TableColumn[];
  nodes: Row[]; // rows of the table, none if the user may not list them
  nodeColumns: TableColumn[];
}

export interface MapNode {
  id: string;
  layer: number; // 0 Ingress, 1 Service, 2 workload, 3 pods, 4 node
  title: string;
  kind: string;
  health: Health;
  ref: Ref | undefined; // undefined for a group of pods
  x: number;
  y: number;
}

export interface MapEdge {
  from: string;
  to: string;
}

export interface Graph {
  nodes: MapNode[];
  edges: MapEdge[];
  width: number;
  height: number;
  /** Objects that were left out because there are too many. */
  omitted: number;
}

export const box = { width: 190, height: 40, gapX: 70, gapY: 12 };
const grouped = 6; // pods of a workload on a node that are drawn one by one
const most = 600; // boxes
export const layers = ["Ingresses", "Services", "Workloads", "Pods", "Nodes"];

const workloadResources: Record<string, string> = {
  ReplicaSet: "replicasets.apps", Deployment: "deployments.apps", StatefulSet: "statefulsets.apps", DaemonSet: "daemonsets.apps",
  Job: "jobs.batch", ReplicationController: "replicationcontrollers",
};

const rank: Record<Health, number> = { none: 0, good: 1, busy: 2, bad: 3 };

function worse(a: Health, b: Health): Health {
  return rank[b] > rank[a] ? b : a;
}

/** build returns the boxes and lines of a map. */
export function build(input: Input): Graph {
  const nodes = new Map<string, MapNode>();
  const edges = new Map<string, MapEdge>();
  const add = (id: string, layer: number, title: string, kind: string, health: Health, ref: Ref | undefined) => {
    const known = nodes.get(id);
    if (known) known.health = worse(known.health, health);
    else nodes.set(id, { id, layer, title, kind, health, ref, x: 0, y: 0 });
  };
  const connect = (from: string, to: string) => edges.set(`${from}→${to}`, { from, to });
  const owners = new Map(input.replicaSets.map((row) => [row.key, row.meta.ownerReferences?.find((o) => o.controller)]));

  const nodeHealth = new Map(input.nodes.map((row) => [row.meta.name, rowHealth("nodes", input.nodeColumns, row)]));
  const members = new Map<string, Row[]>(); // pods by workload and node
  const workloadOf = new Map<string, string>(); // by the pod's key
  for (const pod of input.pods) {
    const ns = pod.meta.namespace ?? "";
    let owner = pod.meta.ownerReferences?.find((o) => o.controller);
    if (owner?.kind === "ReplicaSet") owner = owners.get(`${ns}/${owner.name}`) ?? owner;
    const health = rowHealth("pods", input.podColumns, pod);
    let workload = "";
    if (owner && owner.kind !== "Node") {
      const resource = workloadResources[owner.kind];
      workload = `w/${owner.kind}/${ns}/${owner.name}`;
      add(workload, 2, owner.name, owner.kind, health, resource ? { resource, namespace: ns, name: owner.name } : undefined);
      workloadOf.set(pod.key, workload);
    }
    const at = cell(input.podColumns, pod, "Node");
    const key = `${workload || `p/${pod.key}`}@${at}`;
    append(members, key, pod);
  }
  const boxOf = new Map<string, string>(); // of a pod, or of its group
  for (const [key, pods] of members) {
    const at = cell(input.podColumns, pods[0]!, "Node");
    for (const pod of pods) {
      const health = rowHealth("pods", input.podColumns, pod);
      const single = pods.length <= grouped;
      const id = single ? `p/${pod.key}` : `g/${key}`;
      add(id, 3, single ? pod.meta.name : `${pods.length} pods`, single ? "Pod" : "Pods", health, single ? { resource: "pods", namespace: pod.meta.namespace ?? "", name: pod.meta.name } : undefined);
      boxOf.set(pod.key, id);
      const workload = workloadOf.get(pod.key);
      if (workload) connect(workload, id);
      if (at && at !== "<none>") {
        add(`n/${at}`, 4, at, "Node", nodeHealth.get(at) ?? "none", { resource: "nodes", namespace: "", name: at });
        connect(id, `n/${at}`);
      }
    }
  }
  addServices(input, add, connect, workloadOf, boxOf);
  return place([...nodes.values()], [...edges.values()]);
}

function append<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

type Add = (id: string, layer: number, title: string, kind: string, health: Health, ref: Ref | undefined) => void;

function addServices(input: Input, add: Add, connect: (from: string, to: string) => void, workloadOf: Map<string, string>, boxOf: Map<string, string>): void {
  for (const service of input.services) {
    const ns = service.meta.namespace ?? "";
    const selector = service.object?.spec?.["selector"] as Record<string, string> | undefined;
    const id = `s/${service.key}`;
    const selected = input.pods.filter((pod) => pod.meta.namespace === ns && selects(selector, pod.meta.labels));
    const health = selector ? serviceHealth(selected.map((pod) => rowHealth("pods", input.podColumns, pod))) : "none";
    add(id, 1, service.meta.name, "Service", health, { resource: "services", namespace: ns, name: service.meta.name });
    for (const pod of selected) connect(id, workloadOf.get(pod.key) ?? boxOf.get(pod.key) ?? id);
  }
  const known = new Set(input.services.map((s) => s.key));
  for (const ingress of input.ingresses) {
    const ns = ingress.meta.namespace ?? "";
    const id = `i/${ingress.key}`;
    const services = ingress.object ? ingressServices(ingress.object) : [];
    const missing = services.some((name) => !known.has(`${ns}/${name}`));
    add(id, 0, ingress.meta.name, "Ingress", missing ? "bad" : "none", { resource: "ingresses.networking.k8s.io", namespace: ns, name: ingress.meta.name });
    for (const name of services) {
      if (known.has(`${ns}/${name}`)) connect(id, `s/${ns}/${name}`);
    }
  }
}

/** serviceHealth returns the health of a service whose pods have some: bad if none of them can answer. */
function serviceHealth(pods: Health[]): Health {
  if (pods.length === 0) return "busy";
  if (!pods.includes("good")) return pods.includes("bad") ? "bad" : "busy";
  return pods.every((health) => health === "good" || health === "none") ? "good" : "busy";
}

/** place puts each layer into a column, and boxes near those that they are connected to. */
export function place(all: MapNode[], edges: MapEdge[]): Graph {
  const kept = all.length > most ? [...all].sort((a, b) => rank[b.health] - rank[a.health]).slice(0, most) : all;
  const byID = new Map(kept.map((n) => [n.id, n]));
  const lines = edges.filter((e) => byID.has(e.from) && byID.has(e.to) && e.from !== e.to);
  const columns = layers.map((_, layer) => kept.filter((n) => n.layer === layer).sort((a, b) => (a.id < b.id ? -1 : 1)));
  const used = columns.filter((c) => c.length > 0);
  const order = new Map<string, number>();
  const rankAll = () => columns.forEach((column) => column.forEach((n, i) => order.set(n.id, i / Math.max(1, column.length))));
  const neighbours = new Map<string, string[]>();
  for (const e of lines) {
    append(neighbours, e.from, e.to);
    append(neighbours, e.to, e.from);
  }
  rankAll();
  for (let round = 0; round < 6; round++) {
    for (const column of columns) {
      const mean = new Map(column.map((n) => {
        const near = neighbours.get(n.id) ?? [];
        return [n.id, near.length === 0 ? order.get(n.id) ?? 0 : near.reduce((sum, id) => sum + (order.get(id) ?? 0), 0) / near.length];
      }));
      column.sort((a, b) => (mean.get(a.id) ?? 0) - (mean.get(b.id) ?? 0));
      rankAll();
    }
  }
  const tallest = Math.max(0, ...used.map((c) => c.length));
  const height = tallest * (box.height + box.gapY);
  used.forEach((column, i) => {
    const space = height / column.length;
    column.forEach((n, j) => {
      n.x = i * (box.width + box.gapX);
      n.y = j * space + (space - box.height) / 2;
    });
  });
  return { nodes: kept, edges: lines, width: Math.max(0, used.length * (box.width + box.gapX) - box.gapX), height, omitted: all.length - kept.length };
}
