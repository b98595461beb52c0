// Objects as YAML.

import { stringify } from "yaml";
import { lastApplied, type KubeObject } from "../kube/types";

/** manifest returns an object as people read it: without what the server records. */
export function manifest(object: KubeObject, hideData: boolean): string {
  const { apiVersion, kind, metadata, ...rest } = object;
  const { managedFields: _, ...meta } = metadata as KubeObject["metadata"] & { managedFields?: unknown };
  const hidden = hideData && rest["data"] ? { data: Object.fromEntries(Object.keys(rest["data"]).map((k) => [k, "••••••••"])) } : {};
  const annotations = meta.annotations ? { annotations: Object.fromEntries(Object.entries(meta.annotations).filter(([k]) => k !== lastApplied)) } : {};
  return stringify({ apiVersion, kind, metadata: { ...meta, ...annotations }, ...rest, ...hidden }, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** editable returns the manifest to begin editing with: what a user declares. */
export function editable(object: KubeObject): string {
  const { apiVersion, kind, metadata, status: _, ...rest } = object;
  const meta: Record<string, unknown> = { name: metadata.name };
  if (metadata.namespace) meta["namespace"] = metadata.namespace;
  if (metadata.labels) meta["labels"] = metadata.labels;
  const annotations = Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([k]) => k !== lastApplied && k !== "deployment.kubernetes.io/revision"));
  if (Object.keys(annotations).length > 0) meta["annotations"] = annotations;
  return stringify({ apiVersion, kind, metadata: meta, ...rest }, { lineWidth: 0, aliasDuplicateObjects: false });
}
