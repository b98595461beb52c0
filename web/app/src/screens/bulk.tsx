// Actions on the rows that are selected in a list.

import type { JSX } from "preact";
import type { Row } from "../data/collection";
import { resources } from "../data/cluster";
import { actionsFor } from "../kube/operations";
import { count } from "../kube/format";
import { openAction } from "../ui/action";

export function BulkActions({ id, rows, done }: { id: string; rows: Row[]; done(): void }): JSX.Element {
  const r = resources.value.get(id)!;
  const refs = rows.map((row) => ({ resource: id, namespace: row.meta.namespace ?? "", name: row.meta.name, uid: row.meta.uid }));
  return (
    <div class="bar selection" role="toolbar" aria-label="Actions on selected objects">
      <span>{count(rows.length, "object")} selected</span>
      {actionsFor(id, r, undefined).map((a) => (
        <button key={a.name} type="button" class={a.danger ? "danger" : ""} onClick={() => openAction(a, refs, undefined, done)}>{a.label}</button>
      ))}
      <button type="button" onClick={done}>Clear</button>
    </div>
  );
}
