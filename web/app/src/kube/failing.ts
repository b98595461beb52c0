// What is failing in a cluster, from the rows of its tables.

import type { Row } from "../data/collection";
import type { Ref } from "./resource";
import { cell, rowHealth, type Health } from "./status";
import type { TableColumn } from "./types";

export interface Failing {
  ref: Ref;
  kind: string;
  status: string;
  health: Health;
  since: string | undefined;
  version: string;
}

export interface Rows {
  columns: TableColumn[];
  rows: Row[];
}

const startup = 60_000; // milliseconds in which something new may still be starting

/**
 * failing returns what is not as it should be, the worst first: what fails, and what
 * has not become ready within a minute.
 */
export function failing(resource: string, kind: string, { columns, rows }: Rows, now: number): Failing[] {
  const found: Failing[] = [];
  for (const row of rows) {
    const health = rowHealth(resource, columns, row);
    const age = now - (Date.parse(row.meta.deletionTimestamp ?? row.meta.creationTimestamp ?? "") || now);
    if (health === "bad" || (health === "busy" && age > startup)) {
      const ready = cell(columns, row, "Ready");
      const status = row.meta.deletionTimestamp ? "Terminating" : cell(columns, row, "Status") || ready;
      found.push({
        ref: { resource, namespace: row.meta.namespace ?? "", name: row.meta.name }, kind,
        status: status === "Running" ? `${ready} ready` : /^\d+\/\d+$/.test(status) ? `${status} ready` : status,
        health, since: row.meta.creationTimestamp, version: row.meta.resourceVersion ?? "",
      });
    }
  }
  return found.sort((a, b) => (a.health === b.health ? 0 : a.health === "bad" ? -1 : 1));
}

export interface Counts {
  total: number;
  good: number;
  busy: number;
  bad: number;
}

export function countHealth(resource: string, { columns, rows }: Rows): Counts {
  const counts: Counts = { total: rows.length, good: 0, busy: 0, bad: 0 };
  for (const row of rows) {
    const health = rowHealth(resource, columns, row);
    if (health !== "none") counts[health]++;
  }
  return counts;
}
