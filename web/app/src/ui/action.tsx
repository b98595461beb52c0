// The dialog of an action: it names the objects, shows what will be affected, asks for
// what the action needs, and reports its progress.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { actOn, type ActionOptions } from "../api/actions";
import { messageOf } from "../api/http";
import { resources } from "../data/cluster";
import { useFeed } from "../data/use";
import { count } from "../kube/format";
import type { Action } from "../kube/operations";
import type { Ref } from "../kube/resource";
import type { KubeObject } from "../kube/types";
import { Note } from "./basics";
import { Dialog } from "./dialog";
import { toast } from "./toast";

interface Pending {
  action: Action;
  refs: Ref[];
  object: KubeObject | undefined;
  done: (() => void) | undefined;
}

const pending = signal<Pending | undefined>(undefined);
const previewed = 20; // objects whose effects are shown

export function openAction(action: Action, refs: Ref[], object?: KubeObject, done?: () => void): void {
  pending.value = { action, refs, object, done };
}

export function ActionDialog(): JSX.Element | null {
  const p = pending.value;
  return p ? <Open key={`${p.action.name} ${p.refs.map((r) => r.name).join()}`} {...p} /> : null;
}

/** Objects whose loss takes others with it need their name typed, as in the terminal's dashboard. */
const typed = ["namespaces", "nodes", "persistentvolumes", "customresourcedefinitions.apiextensions.k8s.io"];

function Open({ action, refs, object, done }: Pending): JSX.Element {
  const [options, setOptions] = useState<ActionOptions>(() => initialOptions(action, object));
  const [affected, setAffected] = useState<string[] | undefined>();
  const [progress, setProgress] = useState<string[]>([]);
  const [problem, setProblem] = useState("");
  const [refused, setRefused] = useState(false); // the dry run failed
  const [checked, setChecked] = useState(""); // the options of which the dry run has ended
  const asked = JSON.stringify(options);
  const [busy, setBusy] = useState(false);
  const [name, setName] = useState("");
  const first = refs[0]!;
  const needsName = action.name === "delete" && refs.some((r) => typed.includes(r.resource));
  const expected = refs.length === 1 ? first.name : `delete ${refs.length}`;
  const kind = resources.value.get(first.resource)?.kind ?? first.resource;
  const subject = refs.length === 1 ? `${kind} ${first.name}` : count(refs.length, kind.toLowerCase());

  useEffect(() => {
    let stale = false;
    Promise.all(refs.slice(0, previewed).map((ref) => actOn(action.name, ref, { ...options, dryRun: true }))).then(
      (answers) => {
        if (stale) return;
        setChecked(asked);
        setProblem("");
        setRefused(false);
        setAffected([...new Set(answers.flatMap((a) => a.affected ?? []))]);
      },
      (err: unknown) => {
        if (stale) return;
        setChecked(asked);
        setProblem(messageOf(err));
        setRefused(true);
        setAffected(undefined);
      },
    );
    return () => {
      stale = true;
    };
  }, [asked]);

  const run = async () => {
    setBusy(true);
    setProblem("");
    setProgress([]);
    try {
      for (const ref of refs) {
        const last = await actOn(action.name, ref, options, (a) => {
          if (a.message) setProgress((all) => [...all.slice(-200), a.message ?? ""]);
        });
        toast(last.message ?? `${action.label}: ${ref.name}`);
      }
      pending.value = undefined;
      done?.();
    } catch (err) {
      setProblem(messageOf(err));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`${action.label} ${subject}?`} onClose={() => { pending.value = undefined; }}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          void run();
        }}
      >
        <p>{subject}{refs.length > 1 ? ": each" : first.namespace !== "" ? ` in namespace ${first.namespace}` : ""} {action.effect}.</p>
        {refs.length > 1 && <ul class="names">{refs.slice(0, 50).map((r) => <li key={`${r.namespace}/${r.name}`}>{r.namespace ? `${r.namespace}/` : ""}{r.name}</li>)}</ul>}
        <Options action={action} refs={refs} options={options} set={setOptions} />
        {checked !== asked && !affected && <p role="status">Checking what will be affected …</p>}
        {affected && affected.length > 0 && (
          <div class="affected">
            <h3>What will be affected</h3>
            <ul>{affected.slice(0, 200).map((line, i) => <li key={i}>{line}</li>)}</ul>
          </div>
        )}
        {needsName && (
          <label class="field"><span>Type <b>{expected}</b> to confirm</span>
            <input value={name} autoComplete="off" onInput={(e) => setName(e.currentTarget.value)} />
          </label>
        )}
        {progress.length > 0 && <pre class="progress" role="log" tabIndex={0}>{progress.join("\n")}</pre>}
        {problem !== "" && <Note bad>{problem}</Note>}
        <footer>
          <button type="button" onClick={() => { pending.value = undefined; }}>Cancel</button>
          <button type="submit" class={action.danger ? "primary danger" : "primary"} disabled={busy || refused || checked !== asked || (needsName && name !== expected)}>
            {busy ? "Working …" : action.label}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function initialOptions(action: Action, object: KubeObject | undefined): ActionOptions {
  const replicas = object?.spec?.["replicas"];
  return action.name === "scale" ? { replicas: typeof replicas === "number" ? replicas : 1 } : {};
}

function Options(p: { action: Action; refs: Ref[]; options: ActionOptions; set(o: ActionOptions): void }): JSX.Element | null {
  switch (p.action.name) {
    case "scale":
      return (
        <label class="field">Replicas
          <input
            type="number" min={0} max={10000} required value={p.options.replicas ?? 1}
            onInput={(e) => {
              const n = e.currentTarget.valueAsNumber;
              if (Number.isInteger(n) && n >= 0) p.set({ replicas: n });
            }}
          />
        </label>
      );
    case "rollback":
      return p.refs[0] ? <Revisions owner={p.refs[0]} options={p.options} set={p.set} /> : null;
    default:
      return null;
  }
}

function Revisions({ owner, options, set }: { owner: Ref; options: ActionOptions; set(o: ActionOptions): void }): JSX.Element | null {
  const id = owner.resource === "deployments.apps" ? "replicasets.apps" : "controllerrevisions.apps";
  const r = resources.value.get(id);
  const state = useFeed(r && { resource: r, namespace: owner.namespace, form: "object" });
  const revisions = state.rows
    .filter((row) => row.meta.ownerReferences?.some((o) => o.name === owner.name))
    .map((row) => ({ revision: Number(row.meta.annotations?.["deployment.kubernetes.io/revision"] ?? row.object?.["revision"] ?? 0), name: row.meta.name }))
    .sort((a, b) => b.revision - a.revision);
  return (
    <label class="field">Revision
      <select value={String(options.revision ?? 0)} onChange={(e) => set({ revision: Number(e.currentTarget.value) })}>
        <option value="0">The previous one</option>
        {revisions.map((v, i) => <option key={v.name} value={String(v.revision)}>{v.revision} – {v.name}{i === 0 ? " (current)" : ""}</option>)}
      </select>
    </label>
  );
}
