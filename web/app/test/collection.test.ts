import assert from "node:assert/strict";
import test from "node:test";
import { Collection } from "../src/data/collection";
import { eventLines } from "../src/data/events";
import { matcher } from "../src/data/filter";
import { LineBuffer, mark, severity, splitTime } from "../src/data/lines";

const row = (name: string, version = "1", cells: string[] = [name]) => ({ cells, object: { metadata: { name, namespace: "shop", resourceVersion: version } } });
const table = (rows: unknown[], more: object = {}) => ({ kind: "Table", columnDefinitions: [{ name: "Name", type: "string" }], rows, ...more }) as never;
const names = (c: Collection) => c.snapshot().map((r) => r.meta.name);

test("the first list shows its pages as they arrive", () => {
  const c = new Collection();
  c.begin();
  assert.equal(c.add(table([row("a")], { metadata: { continue: "next" } })), "next");
  assert.deepEqual(names(c), ["a"]);
  assert.equal(c.version, "");
  assert.equal(c.add(table([row("b")], { metadata: { resourceVersion: "7" } })), "");
  assert.deepEqual(names(c), ["a", "b"]);
  assert.equal(c.version, "7");
});

test("a later list replaces rows only once it is complete", () => {
  const c = new Collection();
  c.begin();
  c.add(table([row("a"), row("b")], { metadata: { resourceVersion: "7" } }));
  c.begin();
  c.add(table([row("b")], { metadata: { continue: "next" } }));
  assert.deepEqual(names(c), ["a", "b"]);
  c.add(table([row("c")], { metadata: { resourceVersion: "9" } }));
  assert.deepEqual(names(c), ["b", "c"]);
});

test("watch events add, change and remove rows, and bookmarks only move the version", () => {
  const c = new Collection();
  c.begin();
  c.add(table([row("a")], { metadata: { resourceVersion: "7" } }));
  assert.equal(c.apply("ADDED", table([row("b", "8")])), true);
  assert.equal(c.apply("MODIFIED", table([row("a", "9", ["changed"])])), true);
  assert.equal(c.apply("DELETED", table([row("b", "10")])), true);
  assert.deepEqual(names(c), ["a"]);
  assert.deepEqual(c.snapshot()[0]?.cells, ["changed"]);
  assert.equal(c.apply("BOOKMARK", table([row("", "12")])), false);
  assert.equal(c.version, "12");
  assert.deepEqual(names(c), ["a"]);
});

test("what is no object changes nothing", () => {
  const c = new Collection();
  for (const bad of [null, 7, "x", {}, { kind: "Table", rows: null }, { kind: "Table", rows: [{ cells: [] }] }]) {
    assert.equal(c.apply("ADDED", bad), false);
  }
  assert.equal(c.size, 0);
});

test("objects of a list get its kind and lose their managed fields", () => {
  const c = new Collection();
  c.begin();
  c.add({ kind: "PodList", apiVersion: "v1", metadata: { resourceVersion: "1" }, items: [{ metadata: { name: "a", managedFields: [] } as never }] });
  const object = c.snapshot()[0]?.object;
  assert.equal(object?.kind, "Pod");
  assert.equal("managedFields" in (object?.metadata ?? {}), false);
});

test("a filter has words, negated words and labels", () => {
  const r = { key: "shop/web-1", meta: { name: "web-1", namespace: "shop", labels: { app: "web" } }, cells: ["Running"] };
  for (const [filter, want] of [["", true], ["web run", true], ["WEB", true], ["db", false], ["!db", true], ["!running", false], ["app=web", true], ["app=db", false], ["!", true]] as const) {
    assert.equal(matcher(filter)(r), want, filter);
  }
});

test("events are sorted by when they last happened", () => {
  const event = (name: string, fields: object) => ({ key: name, meta: { name }, cells: [], object: { metadata: { name }, ...fields } as never });
  const lines = eventLines([
    event("a", { type: "Normal", lastTimestamp: "2026-01-01T00:00:00Z" }),
    event("b", { type: "Warning", series: { count: 5, lastObservedTime: "2026-01-02T00:00:00Z" } }),
    event("c", { type: "Warning", eventTime: "2026-01-01T12:00:00Z" }),
  ]);
  assert.deepEqual(lines.map((l) => l.key), ["b", "c", "a"]);
  assert.equal(lines[0]?.count, 5);
});

test("log lines arrive in parts, keep their time and are bounded", () => {
  const buffer = new LineBuffer(10);
  buffer.add("2026-01-01T00:00:00.5Z hel", "app");
  buffer.add("other\n", "db");
  buffer.add("lo\r\nnext\n", "app");
  assert.deepEqual(buffer.snapshot().map((l) => [l.source, l.time, l.text]), [["db", "", "other"], ["app", "2026-01-01T00:00:00.5Z", "hello"], ["app", "", "next"]]);
  for (let i = 0; i < 100; i++) buffer.add(`${i}\n`, "app");
  assert.equal(buffer.snapshot().length, 10);
  assert.equal(buffer.snapshot().at(-1)?.text, "99");
  assert.ok(buffer.dropped > 80);
});

test("a search marks what it finds, whatever its case", () => {
  assert.deepEqual(mark("An error, an Error", "error").filter((p) => p.found).map((p) => p.text), ["error", "Error"]);
  assert.deepEqual(mark("x", ""), [{ text: "x", found: false }]);
  assert.equal(mark("aXbXc", "x").map((p) => p.text).join(""), "aXbXc");
});

test("the severity of a line is what it states", () => {
  assert.equal(severity('{"level":"error","msg":"x"}'), "error");
  assert.equal(severity("E0102 15:04:05.000000 1 main.go:1] broken"), "error");
  assert.equal(severity("W0102 15:04:05.000000 1 main.go:1] careful"), "warning");
  assert.equal(severity("all is fine"), "");
  assert.deepEqual(splitTime("no time here"), { time: "", text: "no time here" });
});

test("lines of a source that is read again are there once", () => {
  const buffer = new LineBuffer(10);
  assert.equal(buffer.resume("app"), "");
  buffer.add("2026-01-02T03:04:05.100000000Z one\n2026-01-02T03:04:05.200000000Z two\n2026-01-02T03:04:05.300000000Z th", "app");
  assert.equal(buffer.resume("app"), "2026-01-02T03:04:05.200000000Z");
  buffer.add("2026-01-02T03:04:05.100000000Z one\n2026-01-02T03:04:05.200000000Z two\n2026-01-02T03:04:05.300000000Z three\n", "app");
  buffer.add("2026-01-02T03:04:05.100000000Z of another\n", "other");
  assert.deepEqual(buffer.snapshot().map((l) => l.text), ["one", "two", "three", "of another"]);
});

test("a line that never ends is cut", () => {
  const buffer = new LineBuffer(10);
  for (let i = 0; i < 100; i++) buffer.add("x".repeat(10_000), "app");
  buffer.add("\n", "app");
  assert.equal(buffer.snapshot()[0]?.text.length, 16_384);
});
