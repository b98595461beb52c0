// All workloads in one table.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { resources } from "../data/cluster";
import type { Row } from "../data/collection";
import type { FeedState } from "../data/feed";
import { contains } from "../data/filter";
import { useFeed } from "../data/use";
import { age, count, plain } from "../kube/format";
import { cell, rowHealth, type Health } from "../kube/status";
import { title } from "../kube/sections";
import { Age, Dot, Note } from "../ui/basics";
import { Filter } from "../ui/filter";
import { listHref, objectHref } from "../ui/router";
import { namespace } from "../ui/settings";
import { DataTable, type Column, type Sort } from "../ui/table";

const kinds = ["deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs.batch", "jobs.batch"];

interface Workload {
  id: string;
  kind: string;
  row: Row;
  state: string;
  health: Health;
  images: string;
}

function useWorkloads(id: string): FeedState {
  const r = resources.value.get(id);
  return useFeed(r && { resource: r, namespace: namespace.value, form: "table" });
}

/** workloadsOf turns the rows of one kind into those of the common table. */
export function workloadsOf(id: string, kind: string, state: { columns: FeedState["columns"]; rows: Row[] }): Workload[] {
  return state.rows.map((row) => {
    const get = (name: string) => cell(state.columns, row, name);
    const ready = id === "daemonsets.apps" ? `${get("Ready")}/${get("Desired")}` : get("Ready");
    const text = id === "cronjobs.batch" ? `${get("Schedule")}${get("Suspend") === "True" ? ", suspended" : ""}`
      : id === "jobs.batch" ? `${get("Status")} ${get("Completions")}` : `${ready} ready`;
    return { id, kind, row, state: plain(text), health: rowHealth(id, state.columns, row), images: plain(get("Images")) };
  });
}

const columns: Column<Workload>[] = [
  { id: "namespace", title: "Namespace", text: (w) => w.row.meta.namespace ?? "", weight: 50 },
  { id: "kind", title: "Kind", text: (w) => w.kind, weight: 60 },
  { id: "name", title: "Name", text: (w) => w.row.meta.name, render: (w) => <><Dot health={w.health} /> {w.row.meta.name}</>, weight: 100, grow: true, extra: 22 },
  { id: "state", title: "State", text: (w) => w.state, render: (w) => <span class={`word ${w.health}`}>{w.state}</span>, weight: 90, extra: 14 },
  { id: "images", title: "Images", text: (w) => w.images, weight: 20 },
  { id: "age", title: "Age", text: (w) => age(w.row.meta.creationTimestamp, Date.now()), value: (w) => -Date.parse(w.row.meta.creationTimestamp ?? "") || 0, render: (w) => <Age since={w.row.meta.creationTimestamp} />, weight: 80, right: true },
];

export function WorkloadsScreen(): JSX.Element {
  const states = kinds.map(useWorkloads);
  const [sort, setSort] = useState<Sort | undefined>();
  const [filter, setFilter] = useState("");
  const rows = useMemo(() => {
    const matches = contains(filter);
    return kinds.flatMap((id, i) => workloadsOf(id, resources.value.get(id)?.kind ?? id, states[i]!))
      .filter((w) => matches(`${w.kind} ${w.row.meta.namespace ?? ""} ${w.row.meta.name} ${w.state}`));
  }, [...states, filter]);
  const forbidden = kinds.filter((_, i) => states[i]?.status === "forbidden");
  return (
    <div class="list-screen">
      <div class="bar">
        <h1>Workloads</h1>
        <span class="muted" role="status">{count(rows.length, "workload")}</span>
        <span class="spring" />
        <Filter of="workloads" value={filter} onChange={setFilter} />
      </div>
      <nav class="tabs" aria-label="Kinds">
        {["pods", ...kinds].map((id) => <a key={id} href={listHref(id)}>{title(id, resources.value.get(id))}</a>)}
      </nav>
      {forbidden.length > 0 && <Note>You may not list {forbidden.map((id) => title(id, resources.value.get(id)).toLowerCase()).join(", ")} here.{namespace.value === "" ? " Choose a namespace above: you may be allowed to there." : ""}</Note>}
      <DataTable
        label="Workloads" rows={rows} columns={columns} keyOf={(w) => `${w.id}/${w.row.key}`} sort={sort} onSort={setSort}
        hrefOf={(w) => objectHref({ resource: w.id, namespace: w.row.meta.namespace ?? "", name: w.row.meta.name })}
        empty={states.some((s) => s.status === "loading") ? "Loading …" : "No workloads."}
      />
    </div>
  );
}
