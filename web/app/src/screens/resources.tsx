// All resources that the API server serves, custom ones included.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { discover, resources } from "../data/cluster";
import { count } from "../kube/format";
import { listable } from "../kube/sections";
import type { Resource } from "../kube/resource";
import { Filter } from "../ui/filter";
import { listHref } from "../ui/router";
import { DataTable, type Column, type Sort } from "../ui/table";

type Entry = [string, Resource];

const columns: Column<Entry>[] = [
  { id: "kind", title: "Kind", text: ([, r]) => r.kind, weight: 90 },
  { id: "name", title: "Name", text: ([, r]) => r.name, weight: 100, grow: true },
  { id: "short", title: "Short names", text: ([, r]) => r.shortNames.join(", "), weight: 50 },
  { id: "group", title: "Group", text: ([, r]) => r.group || "core", weight: 80 },
  { id: "version", title: "Version", text: ([, r]) => r.version, weight: 40 },
  { id: "scope", title: "Scope", text: ([, r]) => (r.namespaced ? "Namespace" : "Cluster"), weight: 60 },
  { id: "verbs", title: "Verbs", text: ([, r]) => r.verbs.join(", "), weight: 10 },
];

export function ResourcesScreen(): JSX.Element {
  const [filter, setFilter] = useState("");
  const [sort, setSort] = useState<Sort | undefined>();
  useEffect(() => {
    void discover().catch(() => undefined); // definitions may have been added since
  }, []);
  const rows = useMemo(() => listable(resources.value).filter(([id, r]) => `${id} ${r.kind} ${r.shortNames.join(" ")}`.toLowerCase().includes(filter.toLowerCase())), [resources.value, filter]);
  return (
    <div class="list-screen">
      <div class="bar">
        <h1>All resources</h1>
        <span class="muted" role="status">{count(rows.length, "resource")}</span>
        <span class="spring" />
        <Filter of="resources" value={filter} onChange={setFilter} />
      </div>
      <DataTable label="All resources" rows={rows} columns={columns} keyOf={([id]) => id} hrefOf={([id]) => listHref(id)} sort={sort} onSort={setSort} empty="Nothing matches the filter." />
    </div>
  );
}
