// Graphs of the cluster, of nodes, pods and workloads.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { literal, quote } from "../api/expression";
import { ApiError } from "../api/http";
import { Panel, type Line } from "../graph/panel";
import { bytes, cores } from "../kube/format";
import { useScope } from "../data/scope";
import type { Ref } from "../kube/resource";
import { Card } from "../ui/basics";
import { TimeRange } from "../ui/timerange";

interface Graph {
  title: string;
  lines: Line[];
  format(value: number): string;
  binary?: boolean;
}

const window = "[2m]";
const rate = (n: number) => `${bytes(n)}/s`;

/** podPattern matches the names of the pods that a workload creates. */
export function podPattern(to: Ref): string {
  const name = literal(to.name);
  switch (to.resource) {
    case "deployments.apps": return `${name}-[a-z0-9]+-[a-z0-9]{5}`;
    case "statefulsets.apps": return `${name}-[0-9]+`;
    case "pods": return name;
    default: return `${name}-[a-z0-9]{5}`;
  }
}

function podGraphs(to: Ref): Graph[] {
  const by = to.resource === "pods" ? "container" : "pod";
  const of = `namespace=${quote(to.namespace)},pod=~${quote(podPattern(to))}`;
  const name = (labels: Record<string, string>) => labels[by] ?? "";
  return [
    { title: "CPU", format: cores, lines: [{ expression: `sum by (${by}) (rate(container_cpu_usage_seconds_total{${of},container!=""}${window}))`, name }] },
    { title: "Memory", format: bytes, binary: true, lines: [{ expression: `sum by (${by}) (container_memory_working_set_bytes{${of},container!=""})`, name }] },
    networkGraph(of),
  ];
}

function networkGraph(of: string): Graph {
  return {
    title: "Network", format: rate, binary: true, lines: [
      { expression: `sum(rate(container_network_receive_bytes_total{${of}}${window}))`, name: () => "received" },
      { expression: `sum(rate(container_network_transmit_bytes_total{${of}}${window}))`, name: () => "sent" },
    ],
  };
}

function nodeGraphs(node: string): Graph[] {
  const of = node === "" ? "" : `{node=${quote(node)}}`;
  const name = (labels: Record<string, string>) => labels["node"] ?? "";
  return [
    { title: "CPU", format: cores, lines: [{ expression: `sum by (node) (rate(node_cpu_usage_seconds_total${of}${window}))`, name }] },
    { title: "Memory", format: bytes, binary: true, lines: [{ expression: `sum by (node) (node_memory_working_set_bytes${of})`, name }] },
    networkGraph(node === "" ? `pod!=""` : `pod!="",node=${quote(node)}`),
  ];
}

export function hasGraphs(resource: string): boolean {
  return ["pods", "nodes", "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps"].includes(resource);
}

export function ObjectGraphs({ to }: { to: Ref }): JSX.Element {
  return to.resource === "nodes" ? <NodeGraphs node={to.name} /> : <Graphs graphs={podGraphs(to)} />;
}

/** NodeGraphs shows a node, or all nodes if the name is empty. Their metrics belong to no namespace. */
export function NodeGraphs({ node }: { node: string }): JSX.Element {
  const scope = useScope();
  if (scope && !scope.metrics) return <Card title="Usage"><p class="note">You may not read the metrics of the whole cluster.</p></Card>;
  return <Graphs graphs={nodeGraphs(node)} />;
}

const ranges: [string, number][] = [["15 min", 900], ["1 h", 3600], ["6 h", 21_600], ["24 h", 86_400]];

function Graphs({ graphs }: { graphs: Graph[] }): JSX.Element {
  const [seconds, setSeconds] = useState(900);
  const [problem, setProblem] = useState("");
  const onProblem = (err: unknown) => {
    if (err instanceof ApiError && err.status === 404) setProblem("Metrics are not recorded for this cluster.");
    else if (err instanceof ApiError && err.forbidden) setProblem("You may not read metrics here.");
  };
  if (problem !== "") {
    return <Card title="Usage"><p class="note">{problem}</p></Card>;
  }
  return (
    <Card title="Usage" aside={<TimeRange ranges={ranges} seconds={seconds} onChange={setSeconds} />} class="graphs">
      {graphs.map((g) => <Panel key={g.title} title={g.title} lines={g.lines} format={g.format} binary={g.binary ?? false} seconds={seconds} onProblem={onProblem} />)}
    </Card>
  );
}
