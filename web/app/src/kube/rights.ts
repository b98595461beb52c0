// What a user may do, from the rules that the API server reports. Only a hint: the API
// server decides.

export interface Rule {
  verbs?: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
}

export interface Rules {
  resourceRules?: Rule[];
  /** True if some authorizer could not list its rules. */
  incomplete?: boolean;
}

/** allowed reports whether rules allow a verb; true if they are not known completely. */
export function allowed(rules: Rules | undefined, verb: string, group: string, resource: string, name = ""): boolean {
  if (!rules || rules.incomplete) return true;
  const has = (all: string[] | undefined, one: string) => (all ?? []).some((x) => x === "*" || x === one);
  const sub = resource.indexOf("/");
  return (rules.resourceRules ?? []).some((r) =>
    has(r.verbs, verb) && has(r.apiGroups, group)
    && (has(r.resources, resource) || (sub > 0 && has(r.resources, `*${resource.slice(sub)}`)))
    && (!r.resourceNames?.length || (name !== "" && r.resourceNames.includes(name))));
}

/** What each action needs besides reading. An empty resource means the object's own. */
const needs: Record<string, { verb: string; group?: string; resource?: string; subresource?: string }> = {
  scale: { verb: "patch", subresource: "scale" },
  restart: { verb: "patch" },
  rollback: { verb: "patch" },
  delete: { verb: "delete" },
  cordon: { verb: "patch" },
  uncordon: { verb: "patch" },
  drain: { verb: "create", group: "", resource: "pods/eviction" },
  trigger: { verb: "create", group: "batch", resource: "jobs" },
  suspend: { verb: "patch" },
  edit: { verb: "patch" },
  shell: { verb: "create", group: "", resource: "pods/exec" },
  logs: { verb: "get", group: "", resource: "pods/log" },
};

/** mayDo reports whether rules allow an action on an object of a resource. */
export function mayDo(rules: Rules | undefined, action: string, group: string, resource: string, name: string): boolean {
  const need = needs[action];
  if (!need) return true;
  const on = need.resource ?? (need.subresource ? `${resource}/${need.subresource}` : resource);
  const of = need.group ?? group;
  return allowed(rules, need.verb, of, on, name) || (need.verb === "patch" && allowed(rules, "update", of, on, name));
}
