// Applying a manifest: first what it would change, then for real.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { act, type ActionAnswer } from "../api/actions";
import { messageOf } from "../api/http";
import { Note } from "../ui/basics";
import { toast } from "../ui/toast";
import { AppliedList, Diff } from "./diff";
import { compare, type Edited, type Since } from "./edited";

interface Props {
  yaml: string;
  namespace: string;
  disabled: boolean;
  /** Fields that are changed are taken over from other managers without asking, as in an edited object. */
  takeOver?: boolean;
  /** The object that was edited, if the manifest is an edited object. */
  edited?: Edited;
  /** Called with the user's decision when others have changed the object since. */
  onKeepBoth?(since: Since): void;
  onOverwrite?(since: Since): void;
  onApplied(): void;
}

export interface Applying {
  review(): void;
  buttons: JSX.Element;
  result: JSX.Element | null;
}

const versions = 5; // that an object may have while its edit is applied

export function useApply({ yaml, namespace, disabled, takeOver = false, edited, onKeepBoth, onOverwrite, onApplied }: Props): Applying {
  const [answer, setAnswer] = useState<{ yaml: string; dry: boolean; answer: ActionAnswer } | undefined>();
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [since, setSince] = useState<Since | undefined>();
  const [force, setForce] = useState(takeOver);
  const reviewed = answer?.dry === true && answer.yaml === yaml;
  const objects = answer?.answer.objects ?? [];
  const conflict = objects.some((o) => o.conflict);
  const failed = objects.some((o) => o.result === "failed");

  /** send applies the manifest to the version that it was made for, or to a later one that differs only in its status. */
  const send = async (dry: boolean): Promise<ActionAnswer | undefined> => {
    let version = edited?.version;
    for (let n = 0; ; n++) {
      const found = await act("apply", { yaml, namespace, dryRun: dry, force, ...version });
      if (!edited || n === versions || !found.objects?.some((o) => o.changed)) return found;
      const now = await compare(edited, yaml);
      if (now.diff !== "" || now.replaced) {
        setSince(now);
        return undefined;
      }
      version = now.version;
    }
  };
  const run = async (dry: boolean) => {
    if (busy || yaml.trim() === "") return;
    setBusy(true);
    setProblem("");
    setSince(undefined);
    try {
      const found = await send(dry);
      if (!found) {
        setAnswer(undefined);
        setBusy(false);
        return;
      }
      setAnswer({ yaml, dry, answer: found });
      if (!dry && !found.objects?.some((o) => o.result === "failed")) {
        toast(found.message || "Applied");
        onApplied();
      }
    } catch (err) {
      setAnswer(undefined);
      setProblem(messageOf(err));
    }
    setBusy(false);
  };
  const decide = (then?: (since: Since) => void) => () => {
    if (since) then?.(since);
    setSince(undefined);
  };
  return {
    review: () => void run(true),
    buttons: (
      <>
        {!takeOver && (conflict || force) && <label class="check-label"><input type="checkbox" checked={force} onChange={(e) => setForce(e.currentTarget.checked)} /> Take over fields of other managers</label>}
        <button type="button" disabled={disabled || busy || yaml.trim() === ""} onClick={() => void run(true)}>Review changes</button>
        <button type="button" class="primary" disabled={disabled || busy || !reviewed || (failed && !(conflict && force))} title={reviewed ? "" : "Review the changes first"} onClick={() => void run(false)}>Apply</button>
      </>
    ),
    result: since ? <Changed since={since} onKeepBoth={decide(onKeepBoth)} onOverwrite={decide(onOverwrite)} /> : problem !== "" ? <Note bad>{problem}</Note> : answer ? (
      <div class="review" role="status">
        <h2>{answer.dry ? "What would change" : "What was changed"}: {answer.answer.message || "nothing"}</h2>
        <AppliedList objects={objects} />
      </div>
    ) : null,
  };
}

function Changed({ since, onKeepBoth, onOverwrite }: { since: Since; onKeepBoth(): void; onOverwrite(): void }): JSX.Element {
  return (
    <div class="review" role="alert">
      <h2>{since.replaced ? "This object was deleted and created again while you edited it" : "Others changed this object while you edited it"}</h2>
      {since.diff !== "" && <Diff text={since.diff} label="What others changed" />}
      <div class="bar">
        <button type="button" class="primary" onClick={onKeepBoth}>Keep both changes</button>
        <button type="button" class="danger" onClick={onOverwrite}>Overwrite with mine</button>
        <span class="muted small">Nothing is applied yet: review the result first.</span>
      </div>
    </div>
  );
}
