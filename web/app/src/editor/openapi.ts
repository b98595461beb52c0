// The server's OpenAPI v3 documents, one for each group and version, read when an
// editor needs one.

import { getJSON, kubernetes } from "../api/http";
import { schemaOf, type OpenAPI, type Schema } from "../kube/schema";

export interface Known {
  doc: OpenAPI;
  root: Schema;
}

const documents = new Map<string, Promise<OpenAPI>>();

async function documentOf(group: string, version: string): Promise<OpenAPI> {
  const key = group === "" ? `api/${version}` : `apis/${group}/${version}`;
  let doc = documents.get(key);
  if (!doc) {
    doc = getJSON<OpenAPI>(`${kubernetes}/openapi/v3/${key}`);
    documents.set(key, doc);
    doc.catch(() => documents.delete(key));
  }
  return doc;
}

/** schema returns the schema of an apiVersion and kind; undefined if the server has none. */
export async function schema(apiVersion: string, kind: string): Promise<Known | undefined> {
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  if (!/^[a-z0-9.-]*$/.test(group) || !/^[a-z0-9]+$/.test(version)) return undefined;
  try {
    const doc = await documentOf(group, version);
    const root = schemaOf(doc, group, version, kind);
    return root && { doc, root };
  } catch {
    return undefined; // an editor without help is better than none
  }
}
