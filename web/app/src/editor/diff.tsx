// A difference in unified format, and the objects of an applied manifest.

import type { JSX } from "preact";
import type { Applied } from "../api/actions";
import { resources } from "../data/cluster";
import { plain } from "../kube/format";
import { ObjectLink, State } from "../ui/basics";

export function Diff({ text, label }: { text: string; label: string }): JSX.Element {
  const lines = text.split("\n").filter((line) => !/^(---|\+\+\+) /.test(line));
  return (
    <pre class="diff" tabIndex={0} role="region" aria-label={label}>
      {lines.map((line, i) => (
        <div key={i} class={line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : line.startsWith("@@") ? "muted" : ""}>{plain(line) || " "}</div>
      ))}
    </pre>
  );
}

const health = { created: "good", changed: "busy", unchanged: "none", failed: "bad" } as const;

export function AppliedList({ objects }: { objects: Applied[] }): JSX.Element {
  return (
    <ul class="applied">
      {objects.map((o) => (
        <li key={`${o.kind}/${o.namespace ?? ""}/${o.name}`}>
          <div class="bar">
            <State health={health[o.result] ?? "none"}>{o.result}</State>
            {resources.value.has(o.kind) ? <ObjectLink to={{ resource: o.kind, namespace: o.namespace ?? "", name: o.name }} /> : <b>{o.name}</b>}
            <span class="muted">{o.kind}{o.namespace ? ` in ${o.namespace}` : ""}</span>
          </div>
          {o.problem && <p class="note bad">{plain(o.problem)}</p>}
          {o.diff && <Diff text={o.diff} label={`Changes of ${o.name}`} />}
        </li>
      ))}
    </ul>
  );
}
