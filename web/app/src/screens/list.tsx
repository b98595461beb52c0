// The list of any resource, by the server's own table columns.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useFeed } from "../data/use";
import { matcher } from "../data/filter";
import { resources } from "../data/cluster";
import { count } from "../kube/format";
import { rowHealth } from "../kube/status";
import { sectionOf, title } from "../kube/sections";
import { tableColumns } from "../ui/columns";
import { feedNote, Note } from "../ui/basics";
import { Filter } from "../ui/filter";
import { listHref, objectHref, route, setParameter } from "../ui/router";
import { namespace } from "../ui/settings";
import { DataTable, type Sort } from "../ui/table";
import { BulkActions } from "./bulk";
import { beforeAge, useExtras } from "./extras";

export function ListScreen({ id }: { id: string }): JSX.Element {
  const r = resources.value.get(id);
  if (!r) {
    return <Note>The server does not serve {id}. Custom resources appear here once their definition is installed.</Note>;
  }
  return <List key={id} id={id} />;
}

function List({ id }: { id: string }): JSX.Element {
  const r = resources.value.get(id)!;
  const ns = r.namespaced ? namespace.value : "";
  const state = useFeed({ resource: r, namespace: ns, form: "table" });
  const filter = route.value.parameters.get("filter") ?? "";
  const unhealthy = route.value.parameters.get("unhealthy") !== null;
  const [sort, setSort] = useState<Sort | undefined>();
  const [selected, setSelected] = useState(new Set<string>());
  const extras = useExtras(id, ns, state.rows.length);
  const columns = useMemo(() => beforeAge(tableColumns(id, state.columns, r.namespaced && ns === ""), extras), [id, state.columns, ns, extras]);
  const rows = useMemo(() => {
    const matches = matcher(filter);
    return state.rows.filter((row) => matches(row) && (!unhealthy || ["bad", "busy"].includes(rowHealth(id, state.columns, row))));
  }, [state.rows, filter, unhealthy]);
  const name = title(id, r);
  const chosen = state.rows.filter((row) => selected.has(row.key));
  const select = useMemo(() => (key: string, on: boolean) => setSelected((last) => {
    const next = new Set(last);
    if (on) next.add(key);
    else next.delete(key);
    return next;
  }), []);
  const note = feedNote(state, name.toLowerCase());

  return (
    <div class="list-screen">
      <div class="bar">
        <h1>{name}</h1>
        <span class="muted" role="status">{rows.length === state.rows.length ? count(rows.length, "object") : `${rows.length} of ${count(state.rows.length, "object")}`}</span>
        <span class="spring" />
        <label class="check-label">
          <input type="checkbox" checked={unhealthy} onChange={(e) => setParameter("unhealthy", e.currentTarget.checked ? "1" : "")} /> Unhealthy only
        </label>
        <Filter of={name} value={filter} onChange={(text) => setParameter("filter", text)} title="Words that must appear, !word that must not, label=value" />
      </div>
      <Siblings id={id} />
      {chosen.length > 0 && <BulkActions id={id} rows={chosen} done={() => setSelected(new Set())} />}
      {state.status === "forbidden" && ns === "" && r.namespaced && <Note>Choose a namespace above: you may be allowed to list {name.toLowerCase()} there.</Note>}
      <DataTable
        label={name} rows={rows} columns={columns} keyOf={(row) => row.key} sort={sort} onSort={setSort}
        hrefOf={(row) => objectHref({ resource: id, namespace: row.meta.namespace ?? "", name: row.meta.name })}
        selected={selected} onSelect={select}
        empty={note ?? "Nothing matches the filter."}
      />
    </div>
  );
}

function Siblings({ id }: { id: string }): JSX.Element | null {
  const section = sectionOf(id);
  if (!section) return null;
  return (
    <nav class="tabs" aria-label={section.title}>
      {section.resources.filter((s) => resources.value.has(s)).map((s) => (
        <a key={s} href={listHref(s)} aria-current={s === id ? "page" : undefined}>{title(s, resources.value.get(s))}</a>
      ))}
    </nav>
  );
}
