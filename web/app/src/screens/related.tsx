// Objects that belong to an object, or to which it belongs.

import type { JSX } from "preact";
import { useFeed } from "../data/use";
import type { Row } from "../data/collection";
import { resources } from "../data/cluster";
import { cell, rowHealth } from "../kube/status";
import { relations, type RelatedQuery } from "../kube/relations";
import type { Ref } from "../kube/resource";
import type { KubeObject, TableColumn } from "../kube/types";
import { Age, Card, Dot, feedNote, ObjectLink } from "../ui/basics";
import { plain } from "../kube/format";

const most = 50;

export function Related({ to, object }: { to: Ref; object: KubeObject }): JSX.Element | null {
  const all = relations(to.resource, object, resources.value);
  if (all.length === 0) return null;
  return (
    <Card title="Related">
      <dl class="facts">
        {all.map((r) => (
          <div key={r.title} class="fact-row">
            <dt>{r.title}</dt>
            <dd>
              {"query" in r ? <Found query={r.query} /> : r.refs.map((ref) => (
                <div key={`${ref.resource}/${ref.namespace}/${ref.name}`}>
                  <ObjectLink to={ref} /> <span class="muted">{resources.value.get(ref.resource)?.kind}</span>
                </div>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

/** summary returns what the table shows of an object's state. */
function summary(columns: TableColumn[], row: Row): string {
  const ready = cell(columns, row, "Ready");
  const desired = cell(columns, row, "Desired");
  return [desired !== "" ? `${ready}/${desired} ready` : ready, cell(columns, row, "Status")].filter(Boolean).join(" ");
}

function Found({ query: q }: { query: RelatedQuery }): JSX.Element {
  const r = resources.value.get(q.resource);
  const state = useFeed(r && { resource: r, namespace: q.namespace, labels: q.labels ?? "", fields: q.fields ?? "", form: "table" });
  const rows = q.owner ? state.rows.filter((row) => row.meta.ownerReferences?.some((o) => o.uid === q.owner)) : state.rows;
  if (rows.length === 0) return <span class="muted">{feedNote({ ...state, rows }, "objects")}</span>;
  return (
    <ul class="found">
      {rows.slice(0, most).map((row) => (
        <li key={row.key}>
          <Dot health={rowHealth(q.resource, state.columns, row)} />
          <ObjectLink to={{ resource: q.resource, namespace: row.meta.namespace ?? "", name: row.meta.name }} />
          <span class="muted">{plain(summary(state.columns, row))}</span>
          <span class="muted right"><Age since={row.meta.creationTimestamp} /></span>
        </li>
      ))}
      {rows.length > most && <li class="muted">and {rows.length - most} more</li>}
    </ul>
  );
}
