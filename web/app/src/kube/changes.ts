// What the daemon has changed by itself.

/** A change that the daemon made by itself; without `ended` it is running. */
interface OwnChange {
  action: string;
  reason: string;
  began: string;
  ended?: string;
  failure?: string;
}

/** A repair of an unhealthy node. */
export interface Repair extends OwnChange {
  node: string;
}

/** A change of the autoscaler. */
export interface Scaling extends OwnChange {
  nodes: string[] | null;
}

/** A group whose number of nodes the autoscaler changes. */
export interface ScaledGroup {
  group: string;
  nodes: number;
  min: number;
  max: number;
}

const recent = 60 * 60 * 1000;

/** ownChanges describes what the daemon did within the last hour, one line each. */
export function ownChanges(status: { repairs?: Repair[]; scalings?: Scaling[] }, now: number): string[] {
  const all = [
    ...(status.repairs ?? []).map((r) => ({ ...r, what: `Repair: ${r.action} ${r.node}` })),
    ...(status.scalings ?? []).map((s) => ({ ...s, what: `Autoscaling: ${s.action} ${(s.nodes ?? []).join(", ")}` })),
  ].filter((c) => now - Date.parse(c.began) < recent);
  return all.map((c) => `${c.what} at ${new Date(c.began).toLocaleTimeString()}${c.failure ? `, failed: ${c.failure}` : c.ended ? "" : ", in progress"} (${c.reason})`);
}
