// The YAML of an object, to read and to edit.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { messageOf } from "../api/http";
import { getObject } from "../data/cluster";
import { can, type Ref, type Resource } from "../kube/resource";
import type { KubeObject } from "../kube/types";
import { Note } from "../ui/basics";
import { toast } from "../ui/toast";
import { useApply } from "./apply";
import { versionOf, type Edited, type Since } from "./edited";
import { Editor } from "./editor";
import { editable, manifest } from "./manifest";

interface Draft extends Edited {
  yaml: string;
  round: number; // a new editor begins with each
}

export default function YamlTab({ to, r, object, mayEdit }: { to: Ref; r: Resource; object: KubeObject; mayEdit: boolean }): JSX.Element {
  const [draft, setDraft] = useState<Draft | undefined>();
  const [revealed, setRevealed] = useState(to.resource !== "secrets");
  const shown = useMemo(() => manifest(object, !revealed), [object, revealed]);
  const begin = async () => {
    try {
      const now = await getObject(to); // what is shown may be a moment older
      setDraft({ to, yaml: editable(now), original: editable(now), version: versionOf(now), round: 0 });
    } catch (err) {
      toast(messageOf(err), true);
    }
  };
  const renew = (since: Since, yaml: string) => {
    if (draft) setDraft({ ...draft, yaml, original: since.current, version: since.version, round: draft.round + 1 });
  };
  const apply = useApply({
    yaml: draft?.yaml ?? "", namespace: to.namespace, disabled: draft === undefined, takeOver: true, onApplied: () => setDraft(undefined),
    ...(draft && { edited: draft }), onKeepBoth: (since) => renew(since, since.merged), onOverwrite: (since) => renew(since, draft?.yaml ?? ""),
  });
  const editing = draft !== undefined;
  return (
    <div class="yaml">
      <div class="bar">
        {!editing && !revealed && <button type="button" onClick={() => setRevealed(true)}>Show values</button>}
        {!editing && mayEdit && can(r, "patch") && revealed && <button type="button" class="primary" onClick={() => void begin()}>Edit</button>}
        {!editing && <button type="button" onClick={() => void navigator.clipboard.writeText(shown)}>Copy</button>}
        {editing && apply.buttons}
        {editing && <button type="button" onClick={() => setDraft(undefined)}>Cancel</button>}
        <span class="spring" />
        {editing && <span class="muted small">ctrl+space completes fields, ctrl+⏎ reviews</span>}
      </div>
      {editing && <p class="muted small">Applied on the server's side: fields that you leave out stay as they are, unless you set them here before.</p>}
      <Editor key={editing ? `edit ${draft.round}` : "view"} label={`YAML of ${to.name}`} value={draft?.yaml ?? shown} readOnly={!editing} onChange={(yaml) => setDraft((d) => d && { ...d, yaml })} onSubmit={apply.review} />
      {editing ? apply.result : null}
      {!can(r, "patch") && <Note>The server does not let this resource be changed.</Note>}
    </div>
  );
}
