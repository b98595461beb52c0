// The data of config maps and secrets. A secret's values are shown only when asked for.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { bytes, count } from "../kube/format";
import type { Ref } from "../kube/resource";
import type { KubeObject } from "../kube/types";
import { Card } from "../ui/basics";

const most = 100_000; // characters of a value that are shown

export function DataCard({ to, object }: { to: Ref; object: KubeObject }): JSX.Element | null {
  if (to.resource !== "secrets" && to.resource !== "configmaps") return null;
  const secret = to.resource === "secrets";
  const entries = [...Object.entries((object["data"] ?? {}) as Record<string, string>), ...Object.entries((object["binaryData"] ?? {}) as Record<string, string>)];
  return (
    <Card title="Data" aside={<span class="muted">{count(entries.length, "entry", "entries")}</span>}>
      {entries.map(([key, value]) => <Entry key={key} name={key} value={value} secret={secret} />)}
    </Card>
  );
}

function Entry({ name, value, secret }: { name: string; value: string; secret: boolean }): JSX.Element {
  const [open, setOpen] = useState(!secret);
  const text = !secret ? value : open ? decode(value) : "";
  return (
    <div class="entry">
      <div class="bar">
        <b class="mono">{name}</b>
        <span class="muted small">{bytes(secret ? Math.floor(value.length * 3 / 4) : value.length)}</span>
        <span class="spring" />
        {secret && <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Hide" : "Show"}<span class="hidden"> {name}</span></button>}
        {(open || !secret) && <button type="button" onClick={() => void navigator.clipboard.writeText(text)}>Copy<span class="hidden"> {name}</span></button>}
      </div>
      {open ? <pre tabIndex={0} aria-label={name}>{text.slice(0, most)}</pre> : <pre aria-hidden="true">••••••••</pre>}
    </div>
  );
}

/** decode returns the text of a secret's value, or its base64 if that is no UTF-8. */
export function decode(value: string): string {
  try {
    const raw = Uint8Array.from(atob(value), (c) => c.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(raw);
  } catch {
    return value;
  }
}
