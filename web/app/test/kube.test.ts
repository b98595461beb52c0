import assert from "node:assert/strict";
import test from "node:test";
import { ownChanges } from "../src/kube/changes";
import { find, parseDiscovery } from "../src/kube/discovery";
import { failing } from "../src/kube/failing";
import { age, bytes, cores, duration, plain, quantity } from "../src/kube/format";
import { actionsFor } from "../src/kube/operations";
import { ingressServices, refOf, relations, selectorText, selects } from "../src/kube/relations";
import { plural, resourcePath, type Resource } from "../src/kube/resource";
import { mayDo } from "../src/kube/rights";
import { words } from "../src/kube/sections";
import { conditionHealth, conditionsOf, containerState, objectHealth, podCause, podStatus, rowHealth, wordHealth } from "../src/kube/status";
import type { Pod } from "../src/kube/types";
import { typeLine } from "../src/shell/lines";

const discovered = parseDiscovery([
  { items: [{ metadata: { name: "" }, versions: [{ version: "v1", resources: [{ resource: "pods", responseKind: { kind: "Pod" }, scope: "Namespaced", verbs: ["list", "delete"], shortNames: ["po"] }, { resource: "nodes", responseKind: { kind: "Node" }, scope: "Cluster" }] }] }] },
  { items: [{ metadata: { name: "apps" }, versions: [{ version: "v1", resources: [{ resource: "deployments", responseKind: { kind: "Deployment" }, scope: "Namespaced" }] }, { version: "v1beta1", resources: [{ resource: "deployments", responseKind: { kind: "Deployment" }, scope: "Namespaced" }] }] }] },
]);

test("discovery keeps the preferred version of each resource", () => {
  assert.deepEqual([...discovered.keys()], ["pods", "nodes", "deployments.apps"]);
  assert.equal(discovered.get("deployments.apps")?.version, "v1");
  assert.equal(find(discovered, "po")?.kind, "Pod");
  assert.equal(find(discovered, "Deployment")?.name, "deployments");
  assert.equal(find(discovered, "nothing"), undefined);
  assert.equal(parseDiscovery([{}, { items: [{}] }, { items: [{ versions: [{ resources: [{}] }] }] }]).size, 0);
});

test("changes that the daemon made are described for an hour", () => {
  const began = "2026-01-01T12:00:00Z";
  const status = {
    repairs: [{ node: "worker-1", action: "restart", reason: "not Ready for 5m", began, ended: began }],
    scalings: [
      { nodes: ["worker-2", "worker-3"], action: "add", reason: "pod a/b does not fit", began },
      { nodes: ["worker-4"], action: "remove", reason: "not needed for 10m", began, ended: began, failure: "it is needed now" },
    ],
  };
  const at = new Date(began).toLocaleTimeString();
  assert.deepEqual(ownChanges(status, Date.parse(began) + 1000), [
    `Repair: restart worker-1 at ${at} (not Ready for 5m)`,
    `Autoscaling: add worker-2, worker-3 at ${at}, in progress (pod a/b does not fit)`,
    `Autoscaling: remove worker-4 at ${at}, failed: it is needed now (not needed for 10m)`,
  ]);
  assert.deepEqual(ownChanges(status, Date.parse(began) + 3600_000), []);
  assert.deepEqual(ownChanges({}, 0), []);
});

test("paths are escaped", () => {
  const deployments = discovered.get("deployments.apps") as Resource;
  assert.equal(resourcePath(deployments, "shop", "web"), "/apis/apps/v1/namespaces/shop/deployments/web");
  assert.equal(resourcePath(discovered.get("pods") as Resource, "a/b", "../x", "log"), "/api/v1/namespaces/a%2Fb/pods/..%2Fx/log");
  assert.equal(resourcePath(discovered.get("nodes") as Resource, "shop", "n"), "/api/v1/nodes/n");
});

test("kinds have plurals and words", () => {
  assert.deepEqual(["Ingress", "NetworkPolicy", "Endpoints", "Gateway", "Pod"].map(plural), ["Ingresses", "NetworkPolicies", "Endpoints", "Gateways", "Pods"]);
  assert.deepEqual(["ConfigMaps", "CSIDrivers", "APIServices", "CronJobs"].map(words), ["Config maps", "CSI drivers", "API services", "Cron jobs"]);
});

test("ages and amounts read as kubectl's", () => {
  assert.deepEqual([5, 119, 200, 3600, 4 * 3600, 50 * 3600, 9 * 86400, 900 * 86400].map(duration), ["5s", "119s", "3m20s", "60m", "4h", "2d2h", "9d", "2y"]);
  assert.equal(age(undefined, 0), "");
  assert.equal(age("nonsense", 0), "");
  assert.deepEqual([0, 1023, 1536, 5 * 2 ** 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5 GiB"]);
  assert.deepEqual([0.25, 1.5].map(cores), ["250m", "1.5"]);
  assert.deepEqual(["250m", "1Gi", "1e3", "2"].map(quantity), [0.25, 2 ** 30, 1000, 2]);
  assert.ok(Number.isNaN(quantity("many")) && Number.isNaN(quantity(undefined)));
});

test("hostile text loses its escape sequences and control characters", () => {
  assert.equal(plain("\u001b[31mred\u001b[0m\u001b]0;title\u0007"), "red");
  assert.equal(plain("a\u0000b\u202ec"), "a�b�c");
  assert.equal(plain("tab\there"), "tab\there");
});

test("the words of status columns have a health", () => {
  for (const [word, want] of [["Running", "good"], ["CrashLoopBackOff", "bad"], ["ImagePullBackOff", "bad"], ["Completed", "none"], ["Pending", "busy"], ["Init:1/2", "busy"], ["Init:Error", "bad"], ["NotReady", "bad"], ["Ready,SchedulingDisabled", "busy"], ["Whatever", "none"]] as const) {
    assert.equal(wordHealth(word), want, word);
  }
});

const podColumns = ["Name", "Ready", "Status", "Restarts", "Age"].map((name) => ({ name, type: "string" }));
const podRow = (ready: string, status: string, created = "2026-01-01T00:00:00Z") => ({ key: "shop/a", meta: { name: "a", namespace: "shop", creationTimestamp: created }, cells: ["a", ready, status, 0, "5m"] });

test("a row's health follows from its columns", () => {
  assert.equal(rowHealth("pods", podColumns, podRow("1/1", "Running")), "good");
  assert.equal(rowHealth("pods", podColumns, podRow("0/1", "Running")), "busy");
  assert.equal(rowHealth("pods", podColumns, podRow("0/1", "CrashLoopBackOff")), "bad");
  assert.equal(rowHealth("pods", podColumns, podRow("0/1", "Completed")), "none");
  assert.equal(rowHealth("things.example.com", [], podRow("", "")), "none");
});

test("what is new may still be starting, what fails is listed first", () => {
  const now = Date.parse("2026-01-01T00:10:00Z");
  const found = failing("pods", "Pod", { columns: podColumns, rows: [podRow("0/1", "Running"), podRow("0/1", "Pending", "2026-01-01T00:09:50Z"), podRow("0/1", "Error"), podRow("1/1", "Running")] }, now);
  assert.deepEqual(found.map((f) => [f.status, f.health]), [["Error", "bad"], ["0/1 ready", "busy"]]);
});

const pod = (status: object, spec: object = { containers: [] }) => ({ metadata: { name: "a", namespace: "shop" }, spec, status }) as unknown as Pod;

test("a pod's cause names the container and how it ended", () => {
  const crashing = pod({ phase: "Running", containerStatuses: [{ name: "app", state: { waiting: { reason: "CrashLoopBackOff" } }, lastState: { terminated: { exitCode: 137, reason: "OOMKilled" } } }] });
  assert.equal(podStatus(crashing), "CrashLoopBackOff");
  assert.equal(podCause(crashing), "app: CrashLoopBackOff – last exit code 137, OOMKilled");
  assert.equal(objectHealth("pods", crashing), "bad");
  const pending = pod({ phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", message: "0/3 nodes are available" }, { type: "Ready", status: "False" }] });
  assert.equal(podCause(pending), "0/3 nodes are available");
  assert.equal(podCause(pod({ phase: "Running" })), "");
  assert.equal(containerState(undefined).health, "busy");
  assert.equal(conditionHealth({ type: "MemoryPressure", status: "False" }), "good");
  assert.equal(conditionHealth({ type: "Ready", status: "False" }), "bad");
});

test("selectors become queries and select labels", () => {
  assert.equal(selectorText({ matchLabels: { app: "web" }, matchExpressions: [{ key: "tier", operator: "In", values: ["a", "b"] }, { key: "x", operator: "DoesNotExist" }] }), "app=web,tier in (a,b),!x");
  assert.equal(selectorText({ app: "web" }), "app=web");
  assert.equal(selectorText(undefined), "");
  assert.equal(selects({ app: "web" }, { app: "web", more: "1" }), true);
  assert.equal(selects({}, { app: "web" }), false);
  assert.equal(selects(undefined, undefined), false);
});

test("a pod is related to its owner, node, configuration and volumes", () => {
  const object = pod({}, { nodeName: "worker-1", serviceAccountName: "default", containers: [{ name: "app", envFrom: [{ configMapRef: { name: "settings" } }], env: [{ name: "K", valueFrom: { secretKeyRef: { name: "key" } } }] }], volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }, { name: "s", secret: { secretName: "key" } }] });
  const found = relations("pods", object, discovered);
  assert.deepEqual(found.map((r) => [r.title, "refs" in r ? r.refs.map((x) => x.name) : []]), [["Node", ["worker-1"]], ["Service account", ["default"]], ["Config maps", ["settings"]], ["Secrets", ["key"]], ["Volume claims", ["data"]]]);
  assert.deepEqual(refOf({ apiVersion: "apps/v1", kind: "Deployment", name: "web", namespace: "shop" }, discovered), { resource: "deployments.apps", namespace: "shop", name: "web" });
  assert.equal(refOf(undefined, discovered), undefined);
});

test("an Ingress leads to the services of its rules and its default", () => {
  const ingress = { metadata: { name: "a" }, spec: { defaultBackend: { service: { name: "d" } }, rules: [{ http: { paths: [{ backend: { service: { name: "web" } } }, { backend: { service: { name: "web" } } }, {}] } }, {}] } };
  assert.deepEqual(ingressServices(ingress), ["d", "web"]);
});

test("actions are those that an object's kind and state allow", () => {
  const nodes = { ...(discovered.get("nodes") as Resource), verbs: ["delete"] };
  assert.deepEqual(actionsFor("nodes", nodes, { metadata: { name: "n" }, spec: { unschedulable: true } }).map((a) => a.name), ["uncordon", "drain", "delete"]);
  assert.deepEqual(actionsFor("deployments.apps", { ...nodes, verbs: [] }, { metadata: { name: "d" } }).map((a) => a.name), ["scale", "restart", "rollback"]);
});

test("rights follow from rules, and what is not known completely is allowed", () => {
  const rules = { resourceRules: [{ verbs: ["get", "list"], apiGroups: ["", "apps"], resources: ["*"] }, { verbs: ["patch"], apiGroups: ["apps"], resources: ["deployments"], resourceNames: ["web"] }, { verbs: ["create"], apiGroups: [""], resources: ["*/exec"] }] };
  assert.equal(mayDo(rules, "restart", "apps", "deployments", "web"), true);
  assert.equal(mayDo(rules, "restart", "apps", "deployments", "other"), false);
  assert.equal(mayDo(rules, "delete", "apps", "deployments", "web"), false);
  assert.equal(mayDo(rules, "shell", "", "pods", "a"), true);
  assert.equal(mayDo({ ...rules, incomplete: true }, "delete", "apps", "deployments", "web"), true);
  assert.equal(mayDo(undefined, "delete", "apps", "deployments", "web"), true);
});

test("conditions of any object are text", () => {
  const found = conditionsOf({ metadata: { name: "x" }, status: { conditions: [null, 1, { type: 2 }, { type: "Ready", status: true, reason: {}, message: 5 }] } });
  assert.deepEqual(found, [{ type: "Ready", status: "", reason: "", message: "" }]);
  assert.deepEqual(conditionsOf({ metadata: { name: "x" }, status: { conditions: { type: "Ready" } } }), []);
});

test("a program without a terminal gets whole lines", () => {
  assert.deepEqual(typeLine("", "he"), { rest: "he", send: "", echo: "he" });
  assert.deepEqual(typeLine("he", "llo\r"), { rest: "", send: "hello\n", echo: "llo\r\n" });
  assert.deepEqual(typeLine("", "a\nb\rc"), { rest: "c", send: "a\nb\n", echo: "a\r\nb\r\nc" });
  assert.deepEqual(typeLine("aä", "\u007f\u007f\u007f"), { rest: "", send: "", echo: "\b \b\b \b" });
  assert.deepEqual(typeLine("a", "\u001b[A\u0003"), { rest: "a", send: "", echo: "" });
});
