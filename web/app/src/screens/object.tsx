// The page of one object: summary, YAML, logs, shell.

import type { JSX } from "preact";
import { lazy, Suspense } from "preact/compat";
import { useFeed } from "../data/use";
import { resources } from "../data/cluster";
import { useRules } from "../data/rights";
import { actionsFor } from "../kube/operations";
import { hasPods } from "../kube/relations";
import { title } from "../kube/sections";
import { mayDo } from "../kube/rights";
import { objectHealth, podStatus, replicasOf } from "../kube/status";
import type { Ref, Resource } from "../kube/resource";
import type { KubeObject, Pod } from "../kube/types";
import { openAction } from "../ui/action";
import { Age, Failure, Note, State } from "../ui/basics";
import { useKeys } from "../ui/keys";
import { go, href, listHref, objectHref, route } from "../ui/router";
import { ObjectLogs } from "./objectlogs";
import { Summary } from "./summary";

const YamlTab = lazy(() => import("../editor/yamltab"));
const ShellTab = lazy(() => import("../shell/shelltab"));

export function ObjectScreen({ to }: { to: Ref }): JSX.Element {
  const r = resources.value.get(to.resource);
  if (!r) return <Note>The server does not serve {to.resource}.</Note>;
  return <Page key={objectHref(to)} to={to} r={r} />;
}

interface Tab {
  id: string;
  title: string;
  key: string;
}

function tabsOf(id: string): Tab[] {
  const tabs: Tab[] = [{ id: "", title: "Summary", key: "1" }, { id: "yaml", title: "YAML", key: "e" }];
  if (id === "pods" || hasPods.includes(id)) tabs.push({ id: "logs", title: "Logs", key: "l" });
  if (id === "pods") tabs.push({ id: "shell", title: "Shell", key: "s" });
  return tabs;
}

function Page({ to, r }: { to: Ref; r: Resource }): JSX.Element {
  const state = useFeed({ resource: r, namespace: to.namespace, fields: `metadata.name=${to.name}`, form: "object" });
  const tab = route.value.parameters.get("tab") ?? "";
  const rules = useRules(to.namespace);
  const may = (action: string) => mayDo(rules, action, r.group, r.name, to.name);
  const tabs = tabsOf(to.resource).filter((t) => (t.id !== "shell" && t.id !== "logs") || may(t.id));
  const object = state.rows.find((row) => row.meta.name === to.name)?.object;
  useKeys([
    ...tabs.map((t) => ({ key: t.key, label: t.title, run: () => go(objectHref(to, t.id)) })),
    { key: "Escape", label: "Back to the list", run: () => go(tab === "" ? listHref(to.resource) : objectHref(to)) },
  ], [tab, tabs.length]);
  return (
    <div class="object-screen">
      <nav class="crumbs" aria-label="Path">
        <a href={to.resource === "nodes" ? href("nodes") : listHref(to.resource)}>{title(to.resource, r)}</a>
        {to.namespace !== "" && <span>{to.namespace}</span>}
      </nav>
      <div class="bar">
        <h1 class="name">{to.name}</h1>
        {object && <Status id={to.resource} object={object} />}
        <span class="spring" />
        {object && actionsFor(to.resource, r, object).filter((a) => may(a.name)).map((a) => (
          <button key={a.name} type="button" class={a.danger ? "danger" : ""} onClick={() => openAction(a, [{ ...to, uid: object.metadata.uid }], object)}>{a.label}</button>
        ))}
      </div>
      <nav class="tabs" aria-label="Views">
        {tabs.map((t) => <a key={t.id} href={objectHref(to, t.id)} aria-current={t.id === tab ? "page" : undefined}>{t.title}</a>)}
      </nav>
      {object
        ? <Content mayEdit={may("edit")} tab={tab} to={to} r={r} object={object} />
        : <Missing to={to} kind={r.kind} status={state.status} error={state.error} />}
    </div>
  );
}

function Missing({ to, kind, status, error }: { to: Ref; kind: string; status: string; error: unknown }): JSX.Element {
  if (status === "forbidden") return <Note>You may not read this {kind}.</Note>;
  if (error && status === "failed") return <Failure error={error} />;
  if (status === "loading") return <Note>Loading …</Note>;
  return <Note>{kind} {to.name} does not exist, or has been deleted. {hasPods.includes(to.resource) || to.resource === "pods" ? <a href={`${href("logs")}?${new URLSearchParams({ namespace: to.namespace, pod: to.name })}`}>Search its stored logs</a> : null}</Note>;
}

function Content(p: { mayEdit: boolean; tab: string; to: Ref; r: Resource; object: KubeObject }): JSX.Element {
  switch (p.tab) {
    case "yaml":
      return <Suspense fallback={<Note>Loading …</Note>}><YamlTab to={p.to} r={p.r} object={p.object} mayEdit={p.mayEdit} /></Suspense>;
    case "logs":
      return <ObjectLogs to={p.to} object={p.object} />;
    case "shell":
      return <Suspense fallback={<Note>Loading …</Note>}><ShellTab pod={p.object as Pod} /></Suspense>;
    default:
      return <Summary to={p.to} r={p.r} object={p.object} />;
  }
}

function Status({ id, object }: { id: string; object: KubeObject }): JSX.Element {
  const health = objectHealth(id, object);
  const replicas = replicasOf(object);
  const phase = object.status?.["phase"];
  const text = object.metadata.deletionTimestamp ? "Terminating"
    : id === "pods" ? podStatus(object as Pod)
    : replicas ? `${replicas.ready}/${replicas.desired} ready`
    : typeof phase === "string" ? phase
    : { good: "Ready", busy: "In progress", bad: "Failing", none: "" }[health];
  return (
    <>
      {text !== "" && <State health={health}>{text}</State>}
      <span class="muted"><Age since={object.metadata.creationTimestamp} /> old</span>
    </>
  );
}
