// Schemas of the server's OpenAPI v3 documents: which fields an object may have at a
// path, and what is wrong with one. It does no I/O.

export interface Schema {
  $ref?: string;
  allOf?: Schema[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  type?: string;
  format?: string;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  enum?: unknown[];
  required?: string[];
  default?: unknown;
  "x-kubernetes-group-version-kind"?: { group: string; version: string; kind: string }[];
  "x-kubernetes-preserve-unknown-fields"?: boolean;
  "x-kubernetes-int-or-string"?: boolean;
}

export interface OpenAPI {
  components?: { schemas?: Record<string, Schema> };
}

/** schemaOf returns the schema of a kind. */
export function schemaOf(doc: OpenAPI, group: string, version: string, kind: string): Schema | undefined {
  return Object.values(doc.components?.schemas ?? {}).find((s) =>
    s["x-kubernetes-group-version-kind"]?.some((k) => k.group === group && k.version === version && k.kind === kind) ?? false);
}

/** resolve follows references. A description beside a reference wins. */
export function resolve(doc: OpenAPI, schema: Schema | undefined): Schema | undefined {
  let found = schema;
  for (let depth = 0; found && depth < 10; depth++) {
    const ref = found.$ref ?? (found.allOf?.length === 1 ? found.allOf[0]?.$ref : undefined);
    if (!ref) return found;
    const target = doc.components?.schemas?.[ref.replace("#/components/schemas/", "")];
    const description: string | undefined = found.description ?? target?.description;
    found = target && { ...target, ...(description ? { description } : {}) };
  }
  return found;
}

/** schemaAt returns the schema of the value at a path; a number in it is an index of a list. */
export function schemaAt(doc: OpenAPI, root: Schema | undefined, path: (string | number)[]): Schema | undefined {
  let at = resolve(doc, root);
  for (const step of path) {
    if (!at) return undefined;
    if (typeof step === "number") {
      at = resolve(doc, at.items);
    } else {
      const more = typeof at.additionalProperties === "object" ? at.additionalProperties : undefined;
      at = resolve(doc, at.properties?.[step] ?? more);
    }
  }
  return at;
}

export interface Field {
  name: string;
  type: string;
  description: string;
  required: boolean;
}

export function fieldsOf(doc: OpenAPI, schema: Schema | undefined): Field[] {
  const s = resolve(doc, schema);
  return Object.entries(s?.properties ?? {}).map(([name, of]) => {
    const found = resolve(doc, of);
    return { name, type: typeName(found), description: found?.description ?? "", required: s?.required?.includes(name) ?? false };
  }).sort((a, b) => Number(b.required) - Number(a.required) || (a.name < b.name ? -1 : 1));
}

export function typeName(s: Schema | undefined): string {
  if (s?.["x-kubernetes-int-or-string"] || s?.format === "int-or-string") return "integer or string";
  if (s?.enum) return s.enum.map(String).join(" | ");
  return s?.type ?? (s?.properties ? "object" : s?.oneOf || s?.anyOf ? "integer or string" : "any");
}

/** mismatch returns what is wrong with a value, without those below it; empty if it is right. */
export function mismatch(doc: OpenAPI, schema: Schema | undefined, value: unknown): string {
  const s = resolve(doc, schema);
  if (!s || value === null || value === undefined || s["x-kubernetes-int-or-string"] || s.oneOf || s.anyOf || s.format === "int-or-string") return "";
  if (s.enum && !s.enum.includes(value)) return `must be one of ${s.enum.map(String).join(", ")}`;
  const is = Array.isArray(value) ? "array" : typeof value;
  switch (s.type) {
    case "object": return is === "object" ? "" : "must be an object";
    case "array": return is === "array" ? "" : "must be a list";
    case "string": return is === "string" ? "" : `must be a string: put it in quotes`;
    case "boolean": return is === "boolean" ? "" : "must be true or false";
    case "integer": return is === "number" && Number.isInteger(value) ? "" : "must be an integer";
    case "number": return is === "number" ? "" : "must be a number";
  }
  return "";
}

/** unknownField reports whether a schema does not know a field. */
export function unknownField(doc: OpenAPI, schema: Schema | undefined, name: string): boolean {
  const s = resolve(doc, schema);
  if (!s?.properties || s["x-kubernetes-preserve-unknown-fields"]) return false;
  return !(name in s.properties) && (s.additionalProperties === undefined || s.additionalProperties === false);
}
