import assert from "node:assert/strict";
import test from "node:test";
import { literal } from "../src/api/expression";
import { alignSeries } from "../src/api/metrics";
import { logsQL } from "../src/api/logstore";
import { positionAt } from "../src/editor/position";
import { build, place } from "../src/kube/graph";
import { fieldsOf, mismatch, schemaAt, schemaOf, unknownField, type OpenAPI } from "../src/kube/schema";

const columns = ["Name", "Ready", "Status", "Node"].map((name) => ({ name, type: "string" }));
const owner = (kind: string, name: string) => [{ apiVersion: "apps/v1", kind, name, uid: "u", controller: true }];
const pod = (name: string, node: string) => ({ key: `shop/${name}`, meta: { name, namespace: "shop", labels: { app: "web" }, ownerReferences: owner("ReplicaSet", "web-1") }, cells: [name, "1/1", "Running", node] });
const input = (pods: ReturnType<typeof pod>[]) => ({
  ingresses: [{ key: "shop/front", meta: { name: "front", namespace: "shop" }, cells: [], object: { metadata: { name: "front" }, spec: { rules: [{ http: { paths: [{ backend: { service: { name: "web" } } }] } }] } } }],
  services: [{ key: "shop/web", meta: { name: "web", namespace: "shop" }, cells: [], object: { metadata: { name: "web" }, spec: { selector: { app: "web" } } } }],
  replicaSets: [{ key: "shop/web-1", meta: { name: "web-1", namespace: "shop", ownerReferences: owner("Deployment", "web") }, cells: [] }],
  pods, podColumns: columns, nodes: [{ key: "/worker-1", meta: { name: "worker-1" }, cells: ["worker-1", "", "Ready", ""] }], nodeColumns: columns,
});

test("the map leads from the Ingress to the nodes", () => {
  const graph = build(input([pod("a", "worker-1"), pod("b", "worker-2")]));
  const edges = graph.edges.map((e) => `${e.from} ${e.to}`);
  for (const edge of ["i/shop/front s/shop/web", "s/shop/web w/Deployment/shop/web", "w/Deployment/shop/web p/shop/a", "p/shop/a n/worker-1", "p/shop/b n/worker-2"]) {
    assert.ok(edges.includes(edge), edge);
  }
  const health = (of: ReturnType<typeof build>, id: string) => of.nodes.find((n) => n.id === id)?.health;
  assert.equal(health(graph, "w/Deployment/shop/web"), "good");
  assert.equal(health(graph, "s/shop/web"), "good");
  assert.equal(health(graph, "n/worker-1"), "good");
  assert.equal(health(graph, "n/worker-2"), "none"); // the user may not list it
  const failing = pod("a", "worker-1");
  failing.cells = failing.cells.map((c) => (c === "Running" ? "CrashLoopBackOff" : c));
  assert.equal(health(build(input([failing])), "s/shop/web"), "bad");
  assert.equal(health(build(input([failing, pod("b", "worker-2")])), "s/shop/web"), "busy");
  assert.equal(health(build(input([])), "s/shop/web"), "busy");
});

test("boxes of a layer do not overlap, and layers are in order", () => {
  const graph = build(input(["a", "b", "c", "d", "e"].map((n) => pod(n, `worker-${n}`))));
  for (const x of graph.nodes) {
    for (const y of graph.nodes) {
      if (x === y) continue;
      if (x.layer === y.layer) assert.ok(Math.abs(x.y - y.y) >= 40, `${x.id} ${y.id}`);
      if (x.layer < y.layer) assert.ok(x.x < y.x, `${x.id} ${y.id}`);
    }
  }
});

test("many pods of a workload on a node become one box, and a missing service is a failure", () => {
  const graph = build({ ...input(Array.from({ length: 40 }, (_, i) => pod(`p${i}`, "worker-1"))), services: [] });
  assert.deepEqual(graph.nodes.filter((n) => n.layer === 3).map((n) => n.title), ["40 pods"]);
  assert.equal(graph.nodes.find((n) => n.layer === 0)?.health, "bad");
});

test("a map has at most so many boxes, failing ones first", () => {
  const nodes = Array.from({ length: 1000 }, (_, i) => ({ id: String(i), layer: 3, title: "", kind: "Pod", health: i === 999 ? "bad" as const : "good" as const, ref: undefined, x: 0, y: 0 }));
  const graph = place(nodes, []);
  assert.equal(graph.nodes.length, 600);
  assert.equal(graph.omitted, 400);
  assert.ok(graph.nodes.some((n) => n.id === "999"));
  assert.deepEqual(place([], []), { nodes: [], edges: [], width: 0, height: 0, omitted: 0 });
});

const doc: OpenAPI = { components: { schemas: {
  Deployment: { type: "object", "x-kubernetes-group-version-kind": [{ group: "apps", version: "v1", kind: "Deployment" }], required: ["spec"], properties: { spec: { description: "What to run.", allOf: [{ $ref: "#/components/schemas/Spec" }] }, kind: { type: "string" } } },
  Spec: { type: "object", properties: { replicas: { type: "integer" }, paused: { type: "boolean" }, labels: { type: "object", additionalProperties: { type: "string" } }, containers: { type: "array", items: { $ref: "#/components/schemas/Container" } } } },
  Container: { type: "object", properties: { name: { type: "string" }, policy: { type: "string", enum: ["Always", "Never"] }, port: { "x-kubernetes-int-or-string": true } } },
} } };
const root = schemaOf(doc, "apps", "v1", "Deployment");

test("schemas are followed through references, lists and maps", () => {
  assert.equal(schemaAt(doc, root, ["spec"])?.description, "What to run.");
  assert.equal(schemaAt(doc, root, ["spec", "containers", 0, "policy"])?.enum?.length, 2);
  assert.equal(schemaAt(doc, root, ["spec", "labels", "anything"])?.type, "string");
  assert.equal(schemaAt(doc, root, ["nothing", "here"]), undefined);
  assert.deepEqual(fieldsOf(doc, root).map((f) => [f.name, f.type, f.required]), [["spec", "object", true], ["kind", "string", false]]);
  assert.equal(schemaOf(doc, "apps", "v1", "Unknown"), undefined);
});

test("values that a schema does not allow are explained", () => {
  const at = (...path: (string | number)[]) => schemaAt(doc, root, path);
  assert.equal(mismatch(doc, at("spec", "replicas"), "3"), "must be an integer");
  assert.equal(mismatch(doc, at("spec", "replicas"), 3), "");
  assert.equal(mismatch(doc, at("spec", "containers"), {}), "must be a list");
  assert.match(mismatch(doc, at("spec", "containers", 0, "policy"), "Sometimes"), /Always, Never/);
  assert.equal(mismatch(doc, at("spec", "containers", 0, "port"), "http"), "");
  assert.equal(unknownField(doc, at("spec"), "replica"), true);
  assert.equal(unknownField(doc, at("spec", "labels"), "anything"), false);
});

test("references that lead in a circle end", () => {
  const circle: OpenAPI = { components: { schemas: { A: { $ref: "#/components/schemas/B" }, B: { $ref: "#/components/schemas/A" } } } };
  assert.doesNotThrow(() => schemaAt(circle, { $ref: "#/components/schemas/A" }, ["x"]));
});

test("the position in a manifest is the path of its fields", () => {
  const at = (text: string) => positionAt(text.split("\n"));
  assert.deepEqual(at("spec:\n  rep"), { path: ["spec"], typed: "rep", atName: true, field: "" });
  assert.deepEqual(at("kind: Pod\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        im").path, ["spec", "template", "spec", "containers", 0]);
  assert.deepEqual(at("spec:\n  containers:\n    - name: a\n      ports:\n        - con").path, ["spec", "containers", 0, "ports", 0]);
  assert.deepEqual(at("spec:\n  paused: tr"), { path: ["spec"], typed: "tr", atName: false, field: "paused" });
  assert.deepEqual(at("a:\n  b: 1\n---\nki").path, []);
  assert.deepEqual(at("").path, []);
});

test("samples are put on one axis of times", () => {
  const range = alignSeries({ status: "success", data: { result: [{ metric: { node: "a" }, values: [[100, "1"], [120, "NaN"], [130, "3"]] }] } }, 100, 130, 10);
  assert.deepEqual(range.times, [100, 110, 120, 130]);
  assert.deepEqual(range.series[0]?.values, [1, null, null, 3]);
  assert.deepEqual(alignSeries({ status: "error" }, 0, 10, 5).series, []);
  assert.equal(literal("a.b"), "a\\.b");
});

test("a search of logs is an expression in LogsQL", () => {
  const f = { namespace: "shop", pod: "", text: "", expert: false, seconds: 60 };
  assert.equal(logsQL({ ...f, namespace: "" }), "*");
  assert.equal(logsQL({ ...f, text: 'error "x !debug' }), 'namespace:="shop" (_msg:*"error"* or _msg:*"Error"* or _msg:*"ERROR"*) (_msg:*"\\"x"* or _msg:*"\\"X"*) !(_msg:*"debug"* or _msg:*"Debug"* or _msg:*"DEBUG"*)');
  assert.equal(logsQL({ ...f, text: "level:error or level:warn", expert: true }), 'namespace:="shop" (level:error or level:warn)');
});
