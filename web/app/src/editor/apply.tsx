// Applying a manifest: first what it would change, then for real.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { act, type ActionAnswer } from "../api/actions";
import { messageOf } from "../api/http";
import { Note } from "../ui/basics";
import { toast } from "../ui/toast";
import { AppliedList } from "./diff";

interface Props {
  yaml: string;
  namespace: string;
  disabled: boolean;
  /** Fields that are changed are taken over from other managers without asking, as in an edited object. */
  takeOver?: boolean;
  onApplied(): void;
}

export interface Applying {
  review(): void;
  buttons: JSX.Element;
  result: JSX.Element | null;
}

export function useApply({ yaml, namespace, disabled, takeOver = false, onApplied }: Props): Applying {
  const [answer, setAnswer] = useState<{ yaml: string; dry: boolean; answer: ActionAnswer } | undefined>();
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [force, setForce] = useState(takeOver);
  const reviewed = answer?.dry === true && answer.yaml === yaml;
  const objects = answer?.answer.objects ?? [];
  const conflict = objects.some((o) => o.conflict);
  const failed = objects.some((o) => o.result === "failed");

  const run = async (dry: boolean) => {
    if (busy || yaml.trim() === "") return;
    setBusy(true);
    setProblem("");
    try {
      const found = await act("apply", { yaml, namespace, dryRun: dry, force });
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
  return {
    review: () => void run(true),
    buttons: (
      <>
        {!takeOver && (conflict || force) && <label class="check-label"><input type="checkbox" checked={force} onChange={(e) => setForce(e.currentTarget.checked)} /> Take over fields of other managers</label>}
        <button type="button" disabled={disabled || busy || yaml.trim() === ""} onClick={() => void run(true)}>Review changes</button>
        <button type="button" class="primary" disabled={disabled || busy || !reviewed || (failed && !(conflict && force))} title={reviewed ? "" : "Review the changes first"} onClick={() => void run(false)}>Apply</button>
      </>
    ),
    result: problem !== "" ? <Note bad>{problem}</Note> : answer ? (
      <div class="review" role="status">
        <h2>{answer.dry ? "What would change" : "What was changed"}: {answer.answer.message || "nothing"}</h2>
        <AppliedList objects={objects} />
      </div>
    ) : null,
  };
}
