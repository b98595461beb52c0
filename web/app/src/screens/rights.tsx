// The permissions of the session's user.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { session } from "../data/cluster";
import { readRules } from "../data/rights";
import { useLoad } from "../data/use";
import type { Rule } from "../kube/rights";
import { Fact, Facts, Failure, Note } from "../ui/basics";
import { namespace } from "../ui/settings";
import { DataTable, type Column, type Sort } from "../ui/table";

interface Line {
  key: string;
  rule: Rule;
}

const columns: Column<Line>[] = [
  { id: "name", title: "Resources", text: (l) => (l.rule.resources ?? []).join(", "), weight: 100, grow: true },
  { id: "group", title: "Groups", text: (l) => (l.rule.apiGroups ?? []).map((g) => g || "core").join(", "), weight: 60 },
  { id: "verbs", title: "Verbs", text: (l) => (l.rule.verbs ?? []).join(", "), weight: 90 },
  { id: "names", title: "Only named", text: (l) => (l.rule.resourceNames ?? []).join(", "), weight: 40 },
];

export function RightsScreen(): JSX.Element {
  const ns = namespace.value || "default";
  const { value, error } = useLoad(() => readRules(ns), [ns]);
  const [sort, setSort] = useState<Sort | undefined>();
  const lines = useMemo(() => (value?.resourceRules ?? []).map((rule, i) => ({ key: String(i), rule })), [value]);
  const s = session.value;
  return (
    <div class="list-screen">
      <div class="bar"><h1>Your permissions</h1><span class="muted">in namespace {ns}</span></div>
      <Facts>
        <Fact name="User">{s?.user}</Fact>
        <Fact name="Groups">{s?.groups?.join(", ")}</Fact>
        <Fact name="Session until">{s && new Date(s.expires).toLocaleString()}</Fact>
      </Facts>
      {error ? <Failure error={error} /> : null}
      {value?.incomplete && <Note>This list is not complete.</Note>}
      <DataTable label="Your permissions" rows={lines} columns={columns} keyOf={(l) => l.key} sort={sort} onSort={setSort} empty={value ? "No rules." : "Loading …"} />
    </div>
  );
}
