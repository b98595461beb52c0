// Events: those of one object, the recent warnings of the cluster, and all of them.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useFeed } from "../data/use";
import { resources } from "../data/cluster";
import { eventLines, type EventLine } from "../data/events";
import { contains } from "../data/filter";
import { age, count, plain } from "../kube/format";
import { refOf } from "../kube/relations";
import type { Ref } from "../kube/resource";
import { Age, Card, feedNote, ObjectLink, State } from "../ui/basics";
import { Filter } from "../ui/filter";
import { objectHref } from "../ui/router";
import { namespace } from "../ui/settings";
import { DataTable, type Column, type Sort } from "../ui/table";

/** The events of the core group: every user who may read events may read these. */
function eventResource() {
  return resources.value.get("events");
}

export function ObjectEvents({ to, kind, uid }: { to: Ref; kind: string; uid: string }): JSX.Element {
  const r = eventResource();
  // Events of nodes carry the node's name as UID.
  const fields = `involvedObject.name=${to.name},involvedObject.kind=${kind}`;
  const state = useFeed(r && { resource: r, namespace: to.namespace, fields, form: "object" });
  const lines = eventLines(state.rows).filter((e) => to.resource === "nodes" || !uid || !e.about.uid || e.about.uid === uid);
  return (
    <Card title="Events">
      {lines.length === 0 ? <p class="note">{feedNote({ ...state, rows: [] }, "events")}</p> : <EventList lines={lines.slice(0, 50)} />}
    </Card>
  );
}

export function EventList({ lines, about }: { lines: EventLine[]; about?: boolean }): JSX.Element {
  return (
    <ul class="events">
      {lines.map((e) => {
        const ref = about ? refOf(e.about, resources.value) : undefined;
        return (
          <li key={e.key}>
            <div class="bar">
              <State health={e.warning ? "bad" : "none"}>{e.reason}</State>
              {ref && <ObjectLink to={ref}>{e.about.kind} {ref.name}</ObjectLink>}
              <span class="spring" />
              <span class="muted small">{e.count > 1 ? `${e.count} times, ` : ""}<Age since={e.time} /> ago</span>
            </div>
            <p class="wrap">{plain(e.message)}</p>
          </li>
        );
      })}
    </ul>
  );
}

const columns: Column<EventLine>[] = [
  { id: "time", title: "Last seen", text: (e) => age(e.time, Date.now()), value: (e) => -Date.parse(e.time) || 0, render: (e) => <Age since={e.time} />, weight: 80 },
  { id: "type", title: "Type", text: (e) => (e.warning ? "Warning" : "Normal"), render: (e) => <State health={e.warning ? "bad" : "none"}>{e.warning ? "Warning" : "Normal"}</State>, weight: 70, extra: 22 },
  { id: "reason", title: "Reason", text: (e) => plain(e.reason), weight: 90 },
  { id: "namespace", title: "Namespace", text: (e) => e.about.namespace ?? "", weight: 40 },
  { id: "object", title: "Object", text: (e) => `${e.about.kind ?? ""} ${e.about.name ?? ""}`, weight: 85 },
  { id: "count", title: "Count", text: (e) => String(e.count), value: (e) => e.count, right: true, weight: 30 },
  { id: "message", title: "Message", text: (e) => plain(e.message).replace(/\s+/g, " "), weight: 100, grow: true },
];

export function EventsScreen(): JSX.Element {
  const r = eventResource();
  const state = useFeed(r && { resource: r, namespace: namespace.value, form: "object" });
  const [filter, setFilter] = useState("");
  const [warnings, setWarnings] = useState(false);
  const [sort, setSort] = useState<Sort | undefined>();
  const lines = useMemo(() => {
    const matches = contains(filter);
    return eventLines(state.rows, warnings).filter((e) => matches(`${e.reason} ${e.message} ${e.about.kind ?? ""} ${e.about.namespace ?? ""} ${e.about.name ?? ""}`));
  }, [state.rows, filter, warnings]);
  return (
    <div class="list-screen">
      <div class="bar">
        <h1>Events</h1>
        <span class="muted" role="status">{count(lines.length, "event")}</span>
        <span class="spring" />
        <label class="check-label"><input type="checkbox" checked={warnings} onChange={(e) => setWarnings(e.currentTarget.checked)} /> Warnings only</label>
        <Filter of="events" value={filter} onChange={setFilter} />
      </div>
      <DataTable
        label="Events" rows={lines} columns={columns} keyOf={(e) => e.key} sort={sort} onSort={setSort}
        hrefOf={(e) => { const ref = refOf(e.about, resources.value); return ref ? objectHref(ref) : ""; }}
        empty={feedNote(state, "events") ?? "Nothing matches the filter."}
      />
    </div>
  );
}
