// Creating objects from manifests that are pasted or dropped.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { toast } from "../ui/toast";
import { namespace } from "../ui/settings";
import { useApply } from "./apply";
import { Editor } from "./editor";

const largest = 3 << 20; // bytes of a file

export default function CreateScreen(): JSX.Element {
  const [text, setText] = useState("");
  const [dropped, setDropped] = useState({ count: 0, text: "" });
  const apply = useApply({ yaml: text, namespace: namespace.value, disabled: false, onApplied: () => undefined });
  const drop = async (event: DragEvent) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    if (file.size > largest) {
      toast(`${file.name} is larger than 3 MiB`, true);
      return;
    }
    const content = await file.text();
    setText(content);
    setDropped({ count: dropped.count + 1, text: content });
  };
  return (
    <div class="yaml" onDragOver={(e) => e.preventDefault()} onDrop={(e) => void drop(e)}>
      <div class="bar">
        <h1>Create</h1>
        <span class="muted">Objects without a namespace go to {namespace.value || "default"}.</span>
        <span class="spring" />
        {apply.buttons}
      </div>
      <Editor key={dropped.count} label="Manifests" value={dropped.text} hint="Paste or drop manifests here. ctrl+space completes fields." onChange={setText} onSubmit={apply.review} />
      {apply.result}
    </div>
  );
}
