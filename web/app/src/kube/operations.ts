// Actions that the dashboard offers for each kind of object.

import type { KubeObject } from "./types";
import type { Resource } from "./resource";

export type ActionName = "scale" | "restart" | "rollback" | "delete" | "cordon" | "uncordon" | "drain" | "trigger" | "suspend";

export interface Action {
  name: ActionName;
  label: string;
  /** What the dialog says will happen, after the object's name. */
  effect: string;
  danger?: boolean;
}

const restartable = ["deployments.apps", "statefulsets.apps", "daemonsets.apps"];
const scalable = ["deployments.apps", "statefulsets.apps", "replicasets.apps", "replicationcontrollers"];

/**
 * actionsFor returns the actions for an object of a resource; without an object, those
 * that make sense for several.
 */
export function actionsFor(id: string, r: Resource, object: KubeObject | undefined): Action[] {
  const all: Action[] = [];
  if (scalable.includes(id)) {
    all.push({ name: "scale", label: "Scale", effect: "gets a different number of pods" });
  }
  if (restartable.includes(id)) {
    all.push({ name: "restart", label: "Restart", effect: "replaces its pods one after the other" });
    if (object) {
      all.push({ name: "rollback", label: "Roll back", effect: "returns to an earlier revision of its pods" });
    }
  }
  if (id === "nodes") {
    const cordoned = object?.spec?.["unschedulable"] === true;
    if (!cordoned) {
      all.push({ name: "cordon", label: "Cordon", effect: "takes no new pods" });
    }
    if (cordoned || !object) {
      all.push({ name: "uncordon", label: "Uncordon", effect: "takes new pods again" });
    }
    all.push({ name: "drain", label: "Drain", effect: "takes no new pods, and its pods are evicted", danger: true });
  }
  if (id === "cronjobs.batch" && object) {
    all.push({ name: "trigger", label: "Run now", effect: "creates a job right away" });
    const suspended = object.spec?.["suspend"] === true;
    all.push({ name: "suspend", label: suspended ? "Resume" : "Suspend", effect: suspended ? "creates jobs again" : "creates no more jobs until it is resumed" });
  }
  if (r.verbs.includes("delete")) {
    all.push({ name: "delete", label: "Delete", effect: "is deleted", danger: true });
  }
  return all;
}
