// The YAML of an object, to read and to edit.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { stringify } from "yaml";
import { can, type Ref, type Resource } from "../kube/resource";
import { lastApplied, type KubeObject } from "../kube/types";
import { Note } from "../ui/basics";
import { useApply } from "./apply";
import { Editor } from "./editor";

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

export default function YamlTab({ to, r, object, mayEdit }: { to: Ref; r: Resource; object: KubeObject; mayEdit: boolean }): JSX.Element {
  const [draft, setDraft] = useState<string | undefined>();
  const [revealed, setRevealed] = useState(to.resource !== "secrets");
  const shown = useMemo(() => manifest(object, !revealed), [object, revealed]);
  const apply = useApply({ yaml: draft ?? "", namespace: to.namespace, disabled: draft === undefined, takeOver: true, onApplied: () => setDraft(undefined) });
  const editing = draft !== undefined;
  return (
    <div class="yaml">
      <div class="bar">
        {!editing && !revealed && <button type="button" onClick={() => setRevealed(true)}>Show values</button>}
        {!editing && mayEdit && can(r, "patch") && revealed && <button type="button" class="primary" onClick={() => setDraft(editable(object))}>Edit</button>}
        {!editing && <button type="button" onClick={() => void navigator.clipboard.writeText(shown)}>Copy</button>}
        {editing && apply.buttons}
        {editing && <button type="button" onClick={() => setDraft(undefined)}>Cancel</button>}
        <span class="spring" />
        {editing && <span class="muted small">ctrl+space completes fields, ctrl+⏎ reviews</span>}
      </div>
      {editing && <p class="muted small">Applied on the server's side: fields that you leave out stay as they are, unless you set them here before.</p>}
      <Editor key={editing ? "edit" : "view"} label={`YAML of ${to.name}`} value={draft ?? shown} readOnly={!editing} onChange={(v) => editing && setDraft(v)} onSubmit={apply.review} />
      {editing ? apply.result : null}
      {!can(r, "patch") && <Note>The server does not let this resource be changed.</Note>}
    </div>
  );
}
