// What this user may do in a namespace, asked once a minute.

import { kubernetes, sendJSON } from "../api/http";
import type { Rules } from "../kube/rights";
import { useLoad } from "./use";

const known = new Map<string, { at: number; rules: Promise<Rules> }>();
const lasts = 60_000;

export function readRules(namespace: string): Promise<Rules> {
  const found = known.get(namespace);
  if (found && Date.now() - found.at < lasts) return found.rules;
  const rules = sendJSON<{ status?: Rules }>("POST", `${kubernetes}/apis/authorization.k8s.io/v1/selfsubjectrulesreviews`, {
    apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace: namespace || "default" },
  }).then((review) => review.status ?? {});
  known.set(namespace, { at: Date.now(), rules });
  rules.catch(() => known.delete(namespace));
  return rules;
}

/** useRules returns the rules of a namespace; undefined while they are not known. */
export function useRules(namespace: string): Rules | undefined {
  return useLoad(() => readRules(namespace), [namespace]).value;
}
