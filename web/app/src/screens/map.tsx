// The map: how requests reach pods, and where those run.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { resources } from "../data/cluster";
import { useFeed } from "../data/use";
import { box, build, layers, type Graph, type MapNode } from "../kube/graph";
import { feedNote, Note } from "../ui/basics";
import { objectHref } from "../ui/router";
import { namespace } from "../ui/settings";

export default function MapScreen(): JSX.Element {
  const ns = namespace.value;
  const [system, setSystem] = useState(false);
  const use = (id: string, form: "table" | "object") => {
    const r = resources.value.get(id);
    return useFeed(r && { resource: r, namespace: r.namespaced ? ns : "", form });
  };
  const ingresses = use("ingresses.networking.k8s.io", "object");
  const services = use("services", "object");
  const replicaSets = use("replicasets.apps", "table");
  const pods = use("pods", "table");
  const nodes = use("nodes", "table");
  const [focus, setFocus] = useState("");
  const graph = useMemo(() => {
    const wanted = <T extends { meta: { namespace?: string } }>(rows: T[]) => (ns !== "" || system ? rows : rows.filter((r) => !/^kube-/.test(r.meta.namespace ?? "")));
    return build({ ingresses: wanted(ingresses.rows), services: wanted(services.rows), replicaSets: replicaSets.rows, pods: wanted(pods.rows), podColumns: pods.columns, nodes: nodes.rows, nodeColumns: nodes.columns });
  }, [ingresses, services, replicaSets, pods, nodes, system, ns]);
  return (
    <div class="map-screen">
      <div class="bar">
        <h1>Map</h1>
        <span class="muted">{[...new Set(graph.nodes.map((n) => n.layer))].sort().map((l) => layers[l]).join(" → ")}</span>
        <span class="spring" />
        {ns === "" && <label class="check-label"><input type="checkbox" checked={system} onChange={(e) => setSystem(e.currentTarget.checked)} /> System namespaces</label>}
      </div>
      {graph.omitted > 0 && <Note>{graph.omitted} more are not drawn. Choose a namespace to see them.</Note>}
      {graph.nodes.length === 0
        ? <Note>{feedNote({ ...pods, rows: [] }, "pods") ?? "Nothing to draw."}</Note>
        : <Drawing graph={graph} focus={focus} onFocus={setFocus} />}
    </div>
  );
}

/** reach returns the boxes that are connected with one, in both directions. */
export function reach(graph: Graph, start: string): Set<string> {
  const found = new Set([start]);
  for (const forward of [true, false]) {
    let edge = [start];
    while (edge.length > 0) {
      const next = graph.edges.filter((e) => edge.includes(forward ? e.from : e.to)).map((e) => (forward ? e.to : e.from));
      edge = next.filter((id) => !found.has(id) && found.add(id));
    }
  }
  return found;
}

function Drawing({ graph, focus, onFocus }: { graph: Graph; focus: string; onFocus(id: string): void }): JSX.Element {
  const margin = 12;
  const lit = useMemo(() => (focus === "" ? undefined : reach(graph, focus)), [graph, focus]);
  const at = new Map(graph.nodes.map((n) => [n.id, n]));
  const dim = (...ids: string[]) => (lit && !ids.every((id) => lit.has(id)) ? " dim" : "");
  return (
    <div class="map" role="region" aria-label="Map of the cluster" tabIndex={0}>
      <svg width={graph.width + 2 * margin} height={graph.height + 2 * margin} viewBox={`${-margin} ${-margin} ${graph.width + 2 * margin} ${graph.height + 2 * margin}`}>
        {graph.edges.map((e) => {
          const from = at.get(e.from)!;
          const to = at.get(e.to)!;
          const [x1, y1, x2, y2] = [from.x + box.width, from.y + box.height / 2, to.x, to.y + box.height / 2];
          const bend = (x2 - x1) / 2;
          return <path key={`${e.from} ${e.to}`} class={`edge${dim(e.from, e.to)}`} d={`M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`} />;
        })}
        {graph.nodes.map((n) => <Box key={n.id} node={n} dim={dim(n.id)} onFocus={onFocus} />)}
      </svg>
    </div>
  );
}

function Box({ node: n, dim, onFocus }: { node: MapNode; dim: string; onFocus(id: string): void }): JSX.Element {
  const short = n.title.length > 18 ? `${n.title.slice(0, 8)}…${n.title.slice(-9)}` : n.title;
  const content = (
    <g class={`box ${n.health}${dim}`} transform={`translate(${n.x} ${n.y})`} onMouseEnter={() => onFocus(n.id)} onMouseLeave={() => onFocus("")}>
      <title>{`${n.kind} ${n.title}`}</title>
      <rect width={box.width} height={box.height} rx="7" />
      <circle cx="14" cy={box.height / 2} r="4" />
      <text x="26" y="17">{short}</text>
      <text x="26" y="32" class="kind">{n.kind}{n.ref?.namespace ? ` · ${n.ref.namespace}` : ""}</text>
    </g>
  );
  return n.ref ? <a href={objectHref(n.ref)} onFocus={() => onFocus(n.id)} onBlur={() => onFocus("")}>{content}</a> : content;
}
