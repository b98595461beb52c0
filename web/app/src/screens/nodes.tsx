// Nodes with their machines.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { Row } from "../data/collection";
import { resources } from "../data/cluster";
import { machineState, useStatus, type Machine } from "../data/machines";
import { useFeed } from "../data/use";
import { useUsage, type Usage } from "../data/usage";
import { bytes, count } from "../kube/format";
import type { TableColumn } from "../kube/types";
import { tableColumns } from "../ui/columns";
import { feedNote, Note, State } from "../ui/basics";
import { objectHref } from "../ui/router";
import { DataTable, type Column, type Sort } from "../ui/table";
import { beforeAge, usageColumns } from "./extras";
import { machineHealth } from "./machines";

export function NodesScreen(): JSX.Element {
  const r = resources.value.get("nodes");
  const state = useFeed(r && { resource: r, form: "table" });
  const status = useStatus();
  const usage = useUsage("nodes", "", state.rows.length > 0);
  const [sort, setSort] = useState<Sort | undefined>();
  const machines = useMemo(() => new Map((status?.nodes ?? []).map((m) => [m.name, m])), [status]);
  const columns = useMemo(() => nodeColumns(state.columns, machines, usage), [state.columns, machines, usage]);
  const missing = (status?.nodes ?? []).filter((m) => state.status === "live" && !state.rows.some((row) => row.meta.name === m.name));
  return (
    <div class="list-screen">
      <div class="bar">
        <h1>Nodes</h1>
        <span class="muted" role="status">{count(state.rows.length, "node")}</span>
      </div>
      {missing.map((m) => <Note key={m.name} bad>Machine {m.name} is {machineState(m)} and has no node.</Note>)}
      <DataTable
        label="Nodes" rows={state.rows} columns={columns} keyOf={(row) => row.key} sort={sort} onSort={setSort}
        hrefOf={(row) => objectHref({ resource: "nodes", namespace: "", name: row.meta.name })} empty={feedNote(state, "nodes")}
      />
    </div>
  );
}

function nodeColumns(columns: TableColumn[], machines: Map<string, Machine>, usage: Map<string, Usage> | undefined): Column<Row>[] {
  const machine = (row: Row) => machines.get(row.meta.name);
  const all = tableColumns("nodes", columns, false);
  const added: Column<Row>[] = [];
  if (machines.size > 0) {
    added.push({
      id: "machine", title: "Machine", weight: 85, extra: 24,
      text: (row) => { const m = machine(row); return m ? machineState(m) : ""; },
      render: (row) => { const m = machine(row); return m ? <State health={machineHealth(m)}>{machineState(m)}</State> : "not in this cluster"; },
    });
    added.push({ id: "host", title: "Host memory", weight: 62, right: true, text: (row) => (machine(row)?.hostMemoryMiB ? bytes((machine(row)?.hostMemoryMiB ?? 0) * 2 ** 20) : ""), value: (row) => machine(row)?.hostMemoryMiB ?? 0 });
    added.push({ id: "disk", title: "Disk", weight: 61, right: true, text: (row) => bytes(machine(row)?.diskUsedBytes ?? 0), value: (row) => machine(row)?.diskUsedBytes ?? 0 });
  }
  return beforeAge(all, [...added, ...usageColumns(usage)]);
}
