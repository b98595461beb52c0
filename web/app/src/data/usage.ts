// CPU and memory in use now, from the resource metrics API.

import { getJSON, kubernetes } from "../api/http";
import { quantity } from "../kube/format";
import { rowKey } from "./collection";
import { useLoad } from "./use";

export interface Usage {
  cpu: number; // cores
  memory: number; // bytes
}

interface Amounts {
  cpu?: string;
  memory?: string;
}

interface Metrics {
  items?: { metadata: { name: string; namespace?: string }; usage?: Amounts; containers?: { usage?: Amounts }[] }[];
}

const every = 15_000;

/** parseUsage returns the usage of nodes or pods by namespace/name. */
export function parseUsage(all: Metrics): Map<string, Usage> {
  return new Map((all.items ?? []).map((item) => {
    const parts = item.containers ? item.containers.map((c) => c.usage) : [item.usage];
    const sum = (of: keyof Amounts) => parts.reduce((total, p) => total + (quantity(p?.[of]) || 0), 0);
    return [rowKey(item.metadata), { cpu: sum("cpu"), memory: sum("memory") }];
  }));
}

/** useUsage returns the usage of "nodes" or "pods", undefined while it is not known. */
export function useUsage(of: "nodes" | "pods", namespace: string, enabled: boolean): Map<string, Usage> | undefined {
  return useLoad(async (signal) => {
    if (!enabled) return undefined;
    const scope = namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
    return parseUsage(await getJSON<Metrics>(`${kubernetes}/apis/metrics.k8s.io/v1beta1${scope}/${of}`, { signal }));
  }, [of, namespace, enabled], enabled ? every : 0).value;
}
