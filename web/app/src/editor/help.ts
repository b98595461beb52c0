// Help while editing: completion of fields and values, descriptions under the mouse,
// and marks at what the schema does not allow.

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import type { Diagnostic } from "@codemirror/lint";
import { hoverTooltip, type EditorView } from "@codemirror/view";
import { isMap, isScalar, isSeq, parseAllDocuments, type Document, type Node } from "yaml";
import { fieldsOf, mismatch, schemaAt, typeName, unknownField } from "../kube/schema";
import { schema, type Known } from "./openapi";
import { positionAt } from "./position";

const mostProblems = 100;

/** header returns the apiVersion and kind of the document around a line. */
function header(lines: string[], at: number): { apiVersion: string; kind: string } {
  let from = at;
  let to = at;
  while (from > 0 && !/^---/.test(lines[from] ?? "")) from--;
  while (to < lines.length - 1 && !/^---/.test(lines[to + 1] ?? "")) to++;
  const find = (name: string) => {
    for (let i = from; i <= to; i++) {
      const match = new RegExp(`^${name}:\\s*["']?([^\\s"'#]+)`).exec(lines[i] ?? "");
      if (match) return match[1] ?? "";
    }
    return "";
  };
  return { apiVersion: find("apiVersion"), kind: find("kind") };
}

async function knownAt(view: { lines: string[]; line: number }): Promise<Known | undefined> {
  const { apiVersion, kind } = header(view.lines, view.line);
  return apiVersion && kind ? schema(apiVersion, kind) : undefined;
}

export async function complete(context: CompletionContext): Promise<CompletionResult | null> {
  const lines = context.state.doc.toString().split("\n");
  const line = context.state.doc.lineAt(context.pos);
  const before = [...lines.slice(0, line.number - 1), line.text.slice(0, context.pos - line.from)];
  const position = positionAt(before);
  if (!context.explicit && position.typed === "") return null;
  const known = await knownAt({ lines, line: line.number - 1 });
  if (!known) return null;
  const from = context.pos - position.typed.length;
  if (!position.atName) {
    const of = schemaAt(known.doc, known.root, [...position.path, position.field]);
    const values = of?.enum?.map(String) ?? (of?.type === "boolean" ? ["true", "false"] : []);
    return values.length > 0 ? { from, options: values.map((label) => ({ label, type: "enum" })) } : null;
  }
  const options: Completion[] = fieldsOf(known.doc, schemaAt(known.doc, known.root, position.path)).map((f) => ({
    label: f.name, detail: f.type, info: f.description, type: "property", boost: f.required ? 1 : 0,
    apply: `${f.name}:${f.type === "object" || f.type === "array" ? "" : " "}`,
  }));
  return options.length > 0 ? { from, options, validFor: /^[\w.-]*$/ } : null;
}

/** lint returns the problems of all documents: of their syntax and by their schemas. */
export async function lint(view: EditorView): Promise<Diagnostic[]> {
  const text = view.state.doc.toString();
  const found: Diagnostic[] = [];
  for (const doc of parseAllDocuments(text) as Document.Parsed[]) {
    for (const err of doc.errors) {
      found.push({ from: Math.min(err.pos[0], text.length), to: Math.min(err.pos[1], text.length), severity: "error", message: err.message.split("\n")[0] ?? "" });
    }
    const { apiVersion, kind } = (doc.errors.length === 0 ? doc.toJS() ?? {} : {}) as { apiVersion?: unknown; kind?: unknown };
    const known = typeof apiVersion === "string" && typeof kind === "string" ? await schema(apiVersion, kind) : undefined;
    if (known && doc.contents) check(doc.contents, [], known, found);
  }
  return found.slice(0, mostProblems);
}

function check(node: Node, path: (string | number)[], known: Known, found: Diagnostic[]): void {
  const at = schemaAt(known.doc, known.root, path);
  const range = node.range ?? [0, 0, 0];
  const value: unknown = isScalar(node) ? node.value : isSeq(node) ? [] : isMap(node) ? {} : undefined;
  const problem = mismatch(known.doc, at, value);
  if (problem !== "") {
    found.push({ from: range[0], to: Math.max(range[0], range[1]), severity: "error", message: problem });
    return;
  }
  if (isSeq(node)) {
    node.items.forEach((item, i) => check(item as Node, [...path, i], known, found));
  } else if (isMap(node)) {
    for (const pair of node.items) {
      const key = pair.key as Node;
      const name = isScalar(key) ? String(key.value) : "";
      if (unknownField(known.doc, at, name)) {
        const r = key.range ?? [0, 0, 0];
        found.push({ from: r[0], to: r[1], severity: "warning", message: `unknown field "${name}"` });
      } else if (pair.value) {
        check(pair.value as Node, [...path, name], known, found);
      }
    }
  }
}

/** describe shows what a field means when the mouse rests on it. */
export const describe = hoverTooltip(async (view, pos) => {
  const line = view.state.doc.lineAt(pos);
  const name = /^(\s*(?:- +)*)([^\s:#]+):/.exec(line.text);
  if (!name || pos > line.from + name[0].length) return null;
  const lines = view.state.doc.toString().split("\n");
  const known = await knownAt({ lines, line: line.number - 1 });
  if (!known) return null;
  const position = positionAt([...lines.slice(0, line.number - 1), name[1] ?? ""]);
  const found = schemaAt(known.doc, known.root, [...position.path, name[2] ?? ""]);
  if (!found) return null;
  return {
    pos: line.from + (name[1]?.length ?? 0), end: line.from + name[0].length, above: true,
    create: () => {
      const dom = document.createElement("div");
      dom.className = "field-help";
      const title = dom.appendChild(document.createElement("b"));
      title.textContent = `${name[2] ?? ""}: ${typeName(found)}`;
      dom.appendChild(document.createElement("p")).textContent = found.description ?? "";
      return { dom };
    },
  };
});
