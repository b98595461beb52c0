// The choice of a namespace. A user who may not list namespaces types one.

import type { JSX } from "preact";
import { resources } from "../data/cluster";
import { useFeed } from "../data/use";
import { namespace } from "./settings";

export function NamespaceSelect(): JSX.Element {
  const r = resources.value.get("namespaces");
  const state = useFeed(r && { resource: r, form: "table" });
  const names = state.rows.map((row) => row.meta.name).sort();
  if (state.status === "forbidden") {
    return (
      <form
        class="namespace" onSubmit={(e) => {
          e.preventDefault();
          namespace.value = new FormData(e.currentTarget).get("namespace")?.toString().trim() ?? "";
        }}
      >
        <input name="namespace" aria-label="Namespace" placeholder="Namespace" defaultValue={namespace.value} onBlur={(e) => { namespace.value = e.currentTarget.value.trim(); }} />
      </form>
    );
  }
  return (
    <select class="namespace" aria-label="Namespace" value={namespace.value} onChange={(e) => { namespace.value = e.currentTarget.value; }}>
      <option value="">All namespaces</option>
      {namespace.value !== "" && !names.includes(namespace.value) && <option value={namespace.value}>{namespace.value}</option>}
      {names.map((n) => <option key={n} value={n}>{n}</option>)}
    </select>
  );
}
