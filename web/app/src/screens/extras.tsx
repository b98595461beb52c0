// Columns that the server's table does not have: usage of pods, addresses of services.

import { useMemo } from "preact/hooks";
import type { Row } from "../data/collection";
import { useAddresses } from "../data/machines";
import { useUsage, type Usage } from "../data/usage";
import { bytes, cores } from "../kube/format";
import type { Column } from "../ui/table";
import { addressesOf } from "./addresses";

const mostPods = 2000; // beyond, their usage is too much to read again and again

export function usageColumns(usage: Map<string, Usage> | undefined): Column<Row>[] {
  if (!usage) return [];
  const of = (row: Row) => usage.get(row.key);
  const text = (amount: number | undefined, format: (n: number) => string) => (amount === undefined ? "" : format(amount));
  return [
    { id: "cpu", title: "CPU", weight: 78, right: true, text: (row) => text(of(row)?.cpu, cores), value: (row) => of(row)?.cpu ?? -1 },
    { id: "memory", title: "Memory", weight: 77, right: true, text: (row) => text(of(row)?.memory, bytes), value: (row) => of(row)?.memory ?? -1 },
  ];
}

const reachable = ["services", "ingresses.networking.k8s.io", "httproutes.gateway.networking.k8s.io"];

/** useExtras returns additional columns of a resource's list. */
export function useExtras(id: string, namespace: string, rows: number): Column<Row>[] {
  const usage = useUsage("pods", namespace, id === "pods" && rows > 0 && rows <= mostPods);
  const all = useAddresses(reachable.includes(id));
  return useMemo(() => {
    if (id === "pods") return usageColumns(usage);
    if (!reachable.includes(id)) return [];
    const of = (row: Row) => addressesOf({ resource: id, namespace: row.meta.namespace ?? "", name: row.meta.name }, all).addresses;
    return [{
      id: "host", title: "On this host", weight: 88,
      text: (row) => of(row).map((a) => a.text).join(" "),
      render: (row) => of(row).map((a) => (a.url ? <a key={a.text} class="address" href={a.url} target="_blank" rel="noopener noreferrer" tabIndex={-1}>{a.text}</a> : <span key={a.text} class="address">{a.text}</span>)),
    }];
  }, [id, usage, all]);
}

/** beforeAge puts columns before the last one, which is the age. */
export function beforeAge(columns: Column<Row>[], added: Column<Row>[]): Column<Row>[] {
  const at = columns.findIndex((c) => c.id === "age");
  return at < 0 ? [...columns, ...added] : [...columns.slice(0, at), ...added, ...columns.slice(at)];
}
