// The summary of an object: facts, conditions, related objects and events on one side,
// graphs and logs on the other.

import type { JSX } from "preact";
import { plain } from "../kube/format";
import { conditionHealth, conditionsOf, podCause } from "../kube/status";
import type { Ref, Resource } from "../kube/resource";
import { lastApplied, type KubeObject, type Pod } from "../kube/types";
import { Age, Breakable, Card, Fact, Facts, Labels, Note, State } from "../ui/basics";
import { ObjectGraphs, hasGraphs } from "./graphs";
import { Containers } from "./containers";
import { DataCard } from "./datacard";
import { ObjectEvents } from "./events";
import { kindFacts } from "./facts";
import { hasPods } from "../kube/relations";
import { ObjectLogs } from "./objectlogs";
import { Related } from "./related";

export function Summary({ to, r, object }: { to: Ref; r: Resource; object: KubeObject }): JSX.Element {
  const showsLogs = to.resource === "pods" || (hasPods.includes(to.resource) && to.resource !== "services");
  const graphs = hasGraphs(to.resource);
  const cause = to.resource === "pods" ? podCause(object as Pod) : "";
  return (
    <div class={showsLogs || graphs ? "columns" : ""}>
      <div class="stack">
        {cause !== "" && <Note bad>{plain(cause)}</Note>}
        <Card title="Details">
          <Facts>
            {kindFacts(to, object)}
            <Fact name="Created">{object.metadata.creationTimestamp && <>{new Date(object.metadata.creationTimestamp).toLocaleString()}</>}</Fact>
            <Fact name="Finalizers">{object.metadata.finalizers?.join(", ")}</Fact>
            <Fact name="Labels">{object.metadata.labels && <Labels labels={object.metadata.labels} />}</Fact>
            <Fact name="Annotations">{Annotations(object.metadata.annotations)}</Fact>
          </Facts>
        </Card>
        {to.resource === "pods" && <Containers pod={object as Pod} />}
        <DataCard to={to} object={object} />
        <Conditions object={object} />
        <Related to={to} object={object} />
        <ObjectEvents to={to} kind={r.kind} uid={object.metadata.uid ?? ""} />
      </div>
      {(showsLogs || graphs) && (
        <div class="stack">
          {graphs && <ObjectGraphs to={to} />}
          {showsLogs && <Card title="Logs" class="log-card"><ObjectLogs to={to} object={object} compact /></Card>}
        </div>
      )}
    </div>
  );
}

function Annotations(all: Record<string, string> | undefined): JSX.Element | null {
  const shown = Object.entries(all ?? {}).filter(([k]) => k !== lastApplied);
  if (shown.length === 0) return null;
  return (
    <details>
      <summary>{shown.length}</summary>
      <dl class="facts">{shown.map(([k, v]) => <Fact key={k} name={k}><span class="mono wrap">{plain(v)}</span></Fact>)}</dl>
    </details>
  );
}

function Conditions({ object }: { object: KubeObject }): JSX.Element | null {
  const all = conditionsOf(object);
  if (all.length === 0) return null;
  return (
    <Card title="Conditions">
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Conditions">
        <table class="small-table">
          <thead><tr><th>Condition</th><th>Status</th><th>Reason</th><th>Since</th></tr></thead>
          <tbody>
            {all.map((c) => (
              <tr key={c.type}>
                <td><Breakable text={c.type} /></td>
                <td><State health={conditionHealth(c)}>{c.status}</State></td>
                <td class="wrap"><Breakable text={c.reason ?? ""} />{c.message ? <span class="muted">{c.reason ? " – " : ""}{plain(c.message)}</span> : null}</td>
                <td><Age since={c.lastTransitionTime ?? c.lastUpdateTime} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
