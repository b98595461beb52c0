// Actions on objects. The server carries them out with the user's own identity.

import type { ActionName } from "../kube/operations";
import type { Ref } from "../kube/resource";
import { lines, send } from "./http";

/** Options of an action; which ones apply depends on it. */
export interface ActionOptions {
  replicas?: number;
  revision?: number;
}

export interface Applied {
  kind: string;
  namespace?: string;
  name: string;
  result: "created" | "changed" | "unchanged" | "failed";
  diff?: string;
  problem?: string;
  conflict?: boolean;
  /** It was changed since the version that the manifest was made for. */
  changed?: boolean;
}

export interface ActionAnswer {
  message?: string;
  /** What a dry run found that the action would change, one line each. */
  affected?: string[];
  /** The result of each object of an applied manifest. */
  objects?: Applied[];
  error?: string;
  done?: boolean;
}

/**
 * act posts an action and returns the last answer. It calls each with every answer, of
 * which a drain sends many.
 */
export async function act(
  name: ActionName | "apply", body: Record<string, unknown>, each: (answer: ActionAnswer) => void = () => {}, signal?: AbortSignal,
): Promise<ActionAnswer> {
  const response = await send(`/api/actions/${name}`, { method: "POST", body: JSON.stringify(body), signal });
  let last: ActionAnswer = {};
  await lines(response, (line) => {
    const answer = JSON.parse(line) as ActionAnswer;
    // The last line of a stream only reports its end or an error.
    last = answer.done && !answer.message && !answer.error ? { ...last, done: true } : answer;
    each(answer);
  });
  if (last.error) {
    throw new Error(last.error);
  }
  return last;
}

export function actOn(name: ActionName, ref: Ref, o: ActionOptions & { dryRun?: boolean }, each?: (answer: ActionAnswer) => void): Promise<ActionAnswer> {
  return act(name, { kind: ref.resource, namespace: ref.namespace, name: ref.name, uid: ref.uid, ...o }, each);
}
