// Health of objects: what is wrong with one, from its table row or from itself.

import type { Row } from "../data/collection";
import type { Condition, ContainerStatus, KubeObject, Pod, TableColumn } from "./types";

/** How an object is: good, in progress, failing, or neither (finished, unknown). */
export type Health = "good" | "busy" | "bad" | "none";

const goodWords = new Set(["running", "ready", "active", "bound", "available", "true", "established", "deployed", "healthy", "valid", "approved,issued", "enabled"]);
const busyWords = new Set(["pending", "containercreating", "podinitializing", "terminating", "released", "unknown", "progressing", "suspended", "schedulingdisabled", "waiting", "notready,schedulingdisabled"]);
const doneWords = new Set(["completed", "succeeded", "complete"]);

/** wordHealth returns the health that a word of a status column means. */
export function wordHealth(word: string): Health {
  const w = word.toLowerCase();
  if (goodWords.has(w)) return "good";
  if (doneWords.has(w)) return "none";
  if (w === "ready,schedulingdisabled" || busyWords.has(w) || /^init:\d+\/\d+$/.test(w)) return "busy";
  if (/(error|fail|backoff|crash|oomkilled|evicted|notready|invalid|lost|unhealthy|denied|deadline|cannot|unavailable)/.test(w)) return "bad";
  return "none";
}

/** fractionHealth returns the health of "2/3": good if complete, busy if not. */
export function fractionHealth(text: string): Health {
  const match = /^(\d+)\/(\d+)$/.exec(text);
  if (!match) return "none";
  return match[1] === match[2] ? "good" : "busy";
}

export function cell(columns: TableColumn[], row: Row, name: string): string {
  const i = columns.findIndex((c) => c.name.toLowerCase() === name.toLowerCase());
  const value = i < 0 ? undefined : row.cells[i];
  return value === undefined || value === null ? "" : String(value);
}

/** rowHealth returns the health of a table's row. */
export function rowHealth(resource: string, columns: TableColumn[], row: Row): Health {
  if (row.meta.deletionTimestamp) {
    return "busy";
  }
  switch (resource) {
    case "pods": {
      const status = wordHealth(cell(columns, row, "Status"));
      return status === "good" ? fractionHealth(cell(columns, row, "Ready")) : status;
    }
    case "daemonsets.apps":
      return fractionHealth(`${cell(columns, row, "Ready")}/${cell(columns, row, "Desired")}`);
    case "replicasets.apps":
      return cell(columns, row, "Desired") === "0" ? "none" : fractionHealth(`${cell(columns, row, "Ready")}/${cell(columns, row, "Desired")}`);
    case "events":
      return cell(columns, row, "Type") === "Warning" ? "bad" : "none";
  }
  const status = cell(columns, row, "Status") || cell(columns, row, "Phase") || cell(columns, row, "State");
  if (status !== "" && wordHealth(status) !== "none") {
    return wordHealth(status);
  }
  const ready = cell(columns, row, "Ready") || cell(columns, row, "Available");
  return ready.includes("/") ? fractionHealth(ready) : ready === "True" ? "good" : ready === "False" ? "bad" : "none";
}

/** podStatus returns what kubectl shows as the status of a pod. */
export function podStatus(pod: Pod): string {
  if (pod.metadata.deletionTimestamp) return "Terminating";
  let word = pod.status.reason ?? pod.status.phase ?? "Unknown";
  for (const s of pod.status.initContainerStatuses ?? []) {
    const reason = s.state?.waiting?.reason ?? (s.state?.terminated?.exitCode ? s.state.terminated.reason : undefined);
    if (reason && reason !== "PodInitializing") return `Init:${reason}`;
  }
  for (const s of pod.status.containerStatuses ?? []) {
    word = s.state?.waiting?.reason ?? s.state?.terminated?.reason ?? word;
  }
  return word;
}

/** containerState describes a container in a few words. */
export function containerState(s: ContainerStatus | undefined): { text: string; health: Health; detail: string } {
  const waiting = s?.state?.waiting;
  const ended = s?.state?.terminated;
  if (s?.state?.running) {
    return s.ready ? { text: "Running", health: "good", detail: "" } : { text: "Running, not ready", health: "busy", detail: "" };
  }
  if (ended) {
    const text = ended.reason ?? "Terminated";
    return { text: `${text} (exit code ${ended.exitCode ?? "?"})`, health: ended.exitCode === 0 ? "none" : "bad", detail: ended.message ?? "" };
  }
  const reason = waiting?.reason ?? "Waiting";
  return { text: reason, health: wordHealth(reason) === "bad" || /^(Err|Invalid|Create)/.test(reason) ? "bad" : "busy", detail: waiting?.message ?? "" };
}

/** podCause explains in one line why a pod is not ready; empty if it is. */
export function podCause(pod: Pod): string {
  const statuses = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])];
  for (const s of statuses) {
    const state = containerState(s);
    if (state.health !== "bad") continue;
    const last = s.lastState?.terminated;
    const before = last ? `last exit code ${last.exitCode ?? "?"}${last.reason && last.reason !== "Error" ? `, ${last.reason}` : ""}` : "";
    const restarts = s.restartCount ? `${s.restartCount} restarts` : "";
    const why = last ? [before, last.message, restarts].filter(Boolean).join(", ") : state.detail;
    return [`${s.name}: ${state.text}`, why].filter(Boolean).join(" – ");
  }
  const unmet = (pod.status.conditions ?? []).find((c) => c.status === "False" && c.message && c.type !== "Ready" && c.type !== "ContainersReady")
    ?? (pod.status.conditions ?? []).find((c) => c.status === "False" && c.message);
  return unmet?.message ?? pod.status.message ?? "";
}

/** conditionsOf returns the conditions of an object of any kind, whose fields may be anything. */
export function conditionsOf(object: KubeObject): Condition[] {
  const all = object.status?.["conditions"];
  const text = (v: unknown) => (typeof v === "string" ? v : "");
  return (Array.isArray(all) ? all as Condition[] : []).filter((c) => typeof c?.type === "string")
    .map((c) => ({ ...c, status: text(c.status), reason: text(c.reason), message: text(c.message) }));
}

// Conditions that are good when they are false.
const negative = /(Pressure|Unavailable|Failed|Failure|Stalled|Degraded|Disruption|Terminating|Deadlock|Problem|NamesConflict|NonStructural|KubernetesAPIApprovalPolicy)/;

export function conditionHealth(c: Condition): Health {
  if (c.status === "Unknown") return "busy";
  const fine = (c.status === "True") !== negative.test(c.type);
  return fine ? "good" : "bad";
}

/** objectHealth returns the health of a whole object. */
export function objectHealth(resource: string, object: KubeObject): Health {
  if (object.metadata.deletionTimestamp) return "busy";
  if (resource === "pods") {
    const pod = object as Pod;
    const word = wordHealth(podStatus(pod));
    const ready = (pod.status?.conditions ?? []).find((c) => c.type === "Ready");
    return word === "good" && ready?.status !== "True" ? "busy" : word;
  }
  const replicas = replicasOf(object);
  if (replicas) return replicas.ready >= replicas.desired ? "good" : "busy";
  const phase = object.status?.["phase"];
  if (typeof phase === "string") return wordHealth(phase);
  const leading = conditionsOf(object).find((c) => ["Ready", "Available", "Established", "Complete", "Accepted"].includes(c.type));
  return leading ? conditionHealth(leading) : "none";
}

export interface Replicas {
  desired: number;
  ready: number;
}

export function replicasOf(object: KubeObject): Replicas | undefined {
  const n = (v: unknown) => (typeof v === "number" ? v : 0);
  if (object.kind === "DaemonSet") {
    return { desired: n(object.status?.["desiredNumberScheduled"]), ready: n(object.status?.["numberReady"]) };
  }
  if (typeof object.spec?.["replicas"] === "number") {
    return { desired: object.spec["replicas"], ready: n(object.status?.["readyReplicas"]) };
  }
  return undefined;
}
