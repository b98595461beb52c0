// The overview: the cluster, its machines, what is failing and why, recent warnings,
// usage over time.

import type { ComponentChildren, JSX } from "preact";
import { useMemo } from "preact/hooks";
import { getObject, resources, session } from "../data/cluster";
import { eventLines } from "../data/events";
import { faultLine, useStatus } from "../data/machines";
import { useFeed, useLoad, useNow } from "../data/use";
import { ownChanges } from "../kube/changes";
import { countHealth, failing, type Counts, type Failing } from "../kube/failing";
import { plain } from "../kube/format";
import { podCause, conditionsOf } from "../kube/status";
import type { KubeObject, Pod } from "../kube/types";
import { Age, Card, Fact, Facts, Note, ObjectLink, State } from "../ui/basics";
import { href, listHref } from "../ui/router";
import { namespace } from "../ui/settings";
import { EventList } from "./events";
import { NodeGraphs } from "./graphs";
import { Machines } from "./machines";

const shownFailures = 12;
const shownWarnings = 8;

function useTable(id: string, ns: string) {
  const r = resources.value.get(id);
  return useFeed(r && { resource: r, namespace: r.namespaced ? ns : "", form: "table" });
}

export function Overview(): JSX.Element {
  const ns = namespace.value;
  const status = useStatus();
  const pods = useTable("pods", ns);
  const nodes = useTable("nodes", "");
  const deployments = useTable("deployments.apps", ns);
  const statefulSets = useTable("statefulsets.apps", ns);
  const daemonSets = useTable("daemonsets.apps", ns);
  const claims = useTable("persistentvolumeclaims", ns);
  const events = resources.value.get("events");
  const warnings = useFeed(events && { resource: events, namespace: ns, fields: "type=Warning", form: "object" });
  const now = useNow(15_000);
  const failures = useMemo(() => [
    ...failing("nodes", "Node", nodes, now), ...failing("pods", "Pod", pods, now),
    ...failing("deployments.apps", "Deployment", deployments, now), ...failing("statefulsets.apps", "StatefulSet", statefulSets, now),
    ...failing("daemonsets.apps", "DaemonSet", daemonSets, now), ...failing("persistentvolumeclaims", "Volume claim", claims, now),
  ], [nodes, pods, deployments, statefulSets, daemonSets, claims, now]);
  const recent = useMemo(() => eventLines(warnings.rows).slice(0, shownWarnings), [warnings]);
  return (
    <div class="page">
      <div class="bar">
        <h1>{session.value?.cluster}</h1>
        {status && <State health={phaseHealth(status.phase)}>{status.phase}</State>}
        {ns !== "" && <span class="muted">namespace {ns}</span>}
      </div>
      {(status?.faults ?? []).map((f) => <Note key={f.id}>{plain(faultLine(f))}</Note>)}
      {status && ownChanges(status, now).map((c) => <Note key={c}>{plain(c)}</Note>)}
      {(status?.problems ?? []).map((p) => <Note key={p} bad>{plain(p)}</Note>)}
      {(status?.notes ?? []).map((n) => <Note key={n}>{plain(n)}</Note>)}
      <div class="tiles">
        <Tile title="Nodes" to={href("nodes")} counts={countHealth("nodes", nodes)} known={nodes.status} />
        <Tile title="Pods" to={listHref("pods")} counts={countHealth("pods", pods)} known={pods.status} />
        <Tile title="Deployments" to={listHref("deployments.apps")} counts={countHealth("deployments.apps", deployments)} known={deployments.status} />
        <Tile title="Stateful sets" to={listHref("statefulsets.apps")} counts={countHealth("statefulsets.apps", statefulSets)} known={statefulSets.status} />
        <Tile title="Daemon sets" to={listHref("daemonsets.apps")} counts={countHealth("daemonsets.apps", daemonSets)} known={daemonSets.status} />
        <Tile title="Volume claims" to={listHref("persistentvolumeclaims")} counts={countHealth("persistentvolumeclaims", claims)} known={claims.status} />
      </div>
      <div class="columns">
        <div class="stack">
          <Card title="What is failing" aside={failures.length > 0 ? <span class="muted">{failures.length}</span> : undefined}>
            {failures.length === 0
              ? <p class="note">{pods.status === "forbidden" ? "You may not list pods here. Choose a namespace above." : pods.status === "loading" ? "Loading …" : "Nothing. Everything that should run is running."}</p>
              : <ul class="failures">{failures.slice(0, shownFailures).map((f) => <FailingItem key={`${f.ref.resource}/${f.ref.namespace}/${f.ref.name}`} failing={f} />)}</ul>}
            {failures.length > shownFailures && <p class="note"><a href={`${listHref("pods")}?unhealthy=1`}>and {failures.length - shownFailures} more</a></p>}
          </Card>
          <Card title="Recent warnings" aside={<a href={href("events")}>All events</a>}>
            {recent.length === 0 ? <p class="note">{warnings.status === "forbidden" ? "You may not list events here." : "None."}</p> : <EventList lines={recent} about />}
          </Card>
        </div>
        <div class="stack">
          <NodeGraphs node="" />
          {status?.nodes && status.nodes.length > 0 && <Card title="Machines"><Machines machines={status.nodes} /></Card>}
          {status && (
            <Card title="Cluster">
              <Facts>
                <Fact name="Kubernetes">{status.kubernetes}</Fact>
                <Fact name="Skiff">{session.value?.version}</Fact>
                <Fact name="Machines">{status.accelerator || status.driver}</Fact>
                <Fact name="API server"><code>{status.server}</code></Fact>
                <Fact name="Services">{status.web && <code>{status.web}</code>}</Fact>
                <Fact name="Autoscaled">{(status.scaled ?? []).map((g) => `${g.group}: ${g.nodes} (${g.min} to ${g.max})`).join(", ")}</Fact>
                <Fact name="Snapshots">{status.snapshots}</Fact>
                <Fact name="You are">{session.value?.user}</Fact>
              </Facts>
            </Card>
          )}
        </div>
      </div>
    </div>
  );
}

function phaseHealth(phase: string) {
  return phase === "running" ? "good" : phase === "degraded" || phase === "absent" ? "bad" : "busy";
}

function Tile({ title, to, counts, known }: { title: string; to: string; counts: Counts; known: string }): JSX.Element {
  const detail: ComponentChildren = known === "forbidden" ? "not allowed"
    : known === "loading" ? "…"
    : counts.bad > 0 ? <State health="bad">{counts.bad} failing</State>
    : counts.busy > 0 ? <State health="busy">{counts.busy} not ready</State>
    : counts.total === 0 ? "none" : <State health="good">all ready</State>;
  return (
    <a class="tile" href={to}>
      <span>{title}</span>
      <b>{known === "forbidden" ? "–" : counts.total.toLocaleString("en")}</b>
      <small>{detail}</small>
    </a>
  );
}

function FailingItem({ failing: f }: { failing: Failing }): JSX.Element {
  const { value } = useLoad((signal) => getObject(f.ref, signal), [f.ref.resource, f.ref.namespace, f.ref.name, f.version], 0, true);
  const cause = value ? causeOf(f.ref.resource, value) : "";
  return (
    <li>
      <div class="bar">
        <State health={f.health}>{plain(f.status)}</State>
        <ObjectLink to={f.ref}>{f.ref.name}</ObjectLink>
        <span class="muted small">{f.kind}{f.ref.namespace ? ` in ${f.ref.namespace}` : ""}</span>
        <span class="spring" />
        <span class="muted small"><Age since={f.since} /></span>
      </div>
      {cause !== "" && <p class="wrap muted">{plain(cause)}</p>}
    </li>
  );
}

/** causeOf explains in one line why an object is not healthy. */
function causeOf(resource: string, object: KubeObject): string {
  if (resource === "pods") return podCause(object as Pod);
  if (object.metadata.deletionTimestamp && object.metadata.finalizers?.length) return `waits for ${object.metadata.finalizers.join(", ")}`;
  const unmet = conditionsOf(object).find((c) => (c.type === "Ready" || c.type === "Available" || c.type === "Progressing") && c.status !== "True" && c.message)
    ?? conditionsOf(object).find((c) => c.type === "ReplicaFailure" && c.status === "True");
  return unmet?.message ?? "";
}
