// What the user may read of the stored logs and metrics. It is only used for notes on
// screens; the server enforces it.

import { getJSON } from "../api/http";
import { useLoad } from "./use";

export interface Scope {
  /** All metrics: also those of nodes and of the control plane. */
  metrics: boolean;
  /** All logs: also those of nodes, and the audit log. */
  logs: boolean;
  /** Namespaces whose container logs may be read, unless all may. */
  namespaces: string[];
}

export function useScope(): Scope | undefined {
  return useLoad((signal) => getJSON<Scope>("/api/scope", { signal }), [], 60_000).value;
}
