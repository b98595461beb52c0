// Columns of a list of objects, from the server's table.

import type { Row } from "../data/collection";
import { fractionHealth, rowHealth, wordHealth } from "../kube/status";
import { age, plain, quantity } from "../kube/format";
import type { TableColumn } from "../kube/types";
import { Age, Dot } from "./basics";
import type { Column } from "./table";

const statusNames = /^(status|phase|state|ready|reason|synced|health)$/i;

/** tableColumns returns the columns of a resource's list. */
export function tableColumns(resource: string, columns: TableColumn[], namespaced: boolean): Column<Row>[] {
  const all: Column<Row>[] = [];
  if (namespaced) {
    all.push({ id: "namespace", title: "Namespace", text: (r) => r.meta.namespace ?? "", weight: 55 });
  }
  columns.forEach((c, i) => all.push(column(resource, columns, c, i)));
  return all;
}

function column(resource: string, columns: TableColumn[], c: TableColumn, i: number): Column<Row> {
  const name = c.name.toLowerCase();
  const base = { id: name, title: c.name };
  const text = (r: Row) => show(r.cells[i]);
  if (name === "name") {
    return {
      ...base, text: (r) => r.meta.name, weight: 100, grow: true, extra: 22,
      render: (r) => <><Dot health={rowHealth(resource, columns, r)} /> {plain(r.meta.name)}</>,
    };
  }
  if (name === "age" || name === "created at") {
    return {
      ...base, text: (r) => age(r.meta.creationTimestamp, Date.now()), weight: 80, right: true,
      value: (r) => -Date.parse(r.meta.creationTimestamp ?? "") || 0,
      render: (r) => <Age since={r.meta.creationTimestamp} />,
    };
  }
  if (name === "status" || name === "phase") {
    const word = (r: Row) => (r.meta.deletionTimestamp ? "Terminating" : text(r));
    return { ...base, weight: 95, extra: 14, text: word, render: (r) => <span class={`word ${wordHealth(word(r))}`}>{word(r)}</span> };
  }
  if (statusNames.test(name)) {
    return {
      ...base, weight: 90, text, value: (r) => number(r.cells[i]) ?? text(r),
      render: (r) => <span class={`word ${rowHealth(resource, columns, r) === "none" ? "none" : fractionHealth(text(r))}`}>{text(r)}</span>,
    };
  }
  const numeric = c.type === "integer" || c.type === "number";
  return { ...base, text, weight: (c.priority ?? 0) > 0 ? 20 - i : 70 - i, right: numeric, value: (r) => number(r.cells[i]) ?? text(r) };
}

function show(value: unknown): string {
  if (value === undefined || value === null || value === "<none>" || value === "<unset>") return "";
  return plain(typeof value === "string" ? value : JSON.stringify(value));
}

/** number returns what a cell sorts by if it begins with a number: "3 (5m ago)", "2/3", "100Mi". */
function number(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  const text = typeof value === "string" ? value.split(/[ /]/)[0] ?? "" : "";
  const n = /^[0-9]/.test(text) ? quantity(text) : NaN;
  return Number.isNaN(n) ? undefined : n;
}
