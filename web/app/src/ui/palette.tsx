// Global search: screens, kinds and objects by name.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { resources } from "../data/cluster";
import { feedOf } from "../data/feed";
import type { Row } from "../data/collection";
import { plain } from "../kube/format";
import { listable, title } from "../kube/sections";
import { Dialog } from "./dialog";
import { go, href, listHref, objectHref } from "./router";
import { screens } from "./screens";
import { namespace } from "./settings";

export const paletteOpen = signal(false);

const searched = ["pods", "deployments.apps", "statefulsets.apps", "daemonsets.apps", "services", "ingresses.networking.k8s.io", "nodes", "namespaces", "configmaps", "secrets", "jobs.batch", "cronjobs.batch", "persistentvolumeclaims"];
const most = 40;

// The types of Preact want a datalist for this role.
const combobox: object = { role: "combobox", "aria-expanded": "true" };

export interface Hit {
  name: string;
  detail: string;
  href: string;
  score: number;
}

/** score ranks how well a name matches: an exact match, a beginning, a part; 0 if it does not match. */
export function score(name: string, text: string, words: string[]): number {
  const lower = name.toLowerCase();
  const all = `${lower} ${text.toLowerCase()}`;
  if (!words.every((w) => all.includes(w))) return 0;
  const first = words[0] ?? "";
  return lower === first ? 4 : lower.startsWith(first) ? 3 : lower.includes(first) ? 2 : 1;
}

export function Palette(): JSX.Element | null {
  return paletteOpen.value ? <Open /> : null;
}

/** useSearched returns the known rows of all searched kinds. */
function useSearched(): Map<string, Row[]> {
  const [found, setFound] = useState(new Map<string, Row[]>());
  useEffect(() => {
    const releases = searched.flatMap((id) => {
      const r = resources.value.get(id);
      if (!r) return [];
      const all = feedOf({ resource: r, namespace: "", form: "table" });
      const one = r.namespaced && namespace.value !== "" ? feedOf({ resource: r, namespace: namespace.value, form: "table" }) : undefined;
      return [all, one].filter((f) => f !== undefined).flatMap((f) => [f.use(), f.state.subscribe((s) => {
        if (s.rows.length > 0) setFound((last) => new Map(last).set(id, s.rows));
      })]);
    });
    return () => releases.forEach((release) => release());
  }, []);
  return found;
}

function Open(): JSX.Element {
  const [text, setText] = useState("");
  const [index, setIndex] = useState(0);
  const rows = useSearched();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const hits = useMemo(() => search(text, rows), [text, rows]);
  const open = (hit: Hit | undefined) => {
    if (!hit) return;
    paletteOpen.value = false;
    go(hit.href);
  };
  return (
    <Dialog title="Search the cluster" class="palette" onClose={() => { paletteOpen.value = false; }}>
      <input
        ref={input} {...combobox} aria-controls="hits" aria-label="Search the cluster" autoComplete="off"
        aria-activedescendant={hits.length > 0 ? `hit-${index}` : undefined} placeholder="Name of a screen, kind or object" value={text}
        onInput={(e) => {
          setText(e.currentTarget.value);
          setIndex(0);
        }}
        onKeyDown={(e) => {
          const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
          if (step !== 0) {
            e.preventDefault();
            setIndex(Math.max(0, Math.min(hits.length - 1, index + step)));
          } else if (e.key === "Enter") {
            e.preventDefault();
            open(hits[index]);
          }
        }}
      />
      <ul id="hits" role="listbox" aria-label="Results">
        {hits.map((hit, i) => (
          <li key={hit.href} id={`hit-${i}`} role="option" aria-selected={i === index} onClick={() => open(hit)} onMouseMove={() => setIndex(i)}>
            <b>{plain(hit.name)}</b> <span class="muted">{plain(hit.detail)}</span>
          </li>
        ))}
      </ul>
      {hits.length === 0 && <p class="note">Nothing found.</p>}
    </Dialog>
  );
}

function search(text: string, rows: Map<string, Row[]>): Hit[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hits: Hit[] = screens.map((s) => ({ name: s.title, detail: "screen", href: href(s.path), score: words.length === 0 ? 1 : score(s.title, "", words) }));
  if (words.length > 0) {
    for (const [id, r] of listable(resources.value)) {
      hits.push({ name: title(id, r), detail: id, href: listHref(id), score: score(title(id, r), `${id} ${r.shortNames.join(" ")}`, words) });
    }
    for (const [id, all] of rows) {
      const kind = resources.value.get(id)?.kind ?? id;
      for (const row of all) {
        const namespaced = row.meta.namespace ?? "";
        hits.push({ name: row.meta.name, detail: `${kind}${namespaced ? ` in ${namespaced}` : ""}`, href: objectHref({ resource: id, namespace: namespaced, name: row.meta.name }), score: score(row.meta.name, `${kind} ${namespaced}`, words) });
      }
    }
  }
  return hits.filter((h) => h.score > 0).sort((a, b) => b.score - a.score || a.name.length - b.name.length).slice(0, most);
}
