// Where in a YAML document a position is: the path of fields, from the indentation of
// the lines before it. This also works while the document is incomplete.

export interface Position {
  /** Path of the object that the line belongs to. */
  path: (string | number)[];
  /** What is typed of the field's name so far. */
  typed: string;
  /** True if the cursor is at a field's name, not at its value. */
  atName: boolean;
  /** The field whose value is typed. */
  field: string;
}

const named = /^(\s*)((?:- +)*)(?:"([^"]+)"|'([^']+)'|([^\s#:'"-][^:#]*?))\s*:(?:\s|$)/;

/** positionAt returns the position at the end of the lines' last one. */
export function positionAt(lines: string[]): Position {
  const last = lines[lines.length - 1] ?? "";
  const item = /^(\s*)((?:- +)*)(.*)$/.exec(last);
  const dashes = item?.[2] ?? "";
  const rest = item?.[3] ?? "";
  let indent = (item?.[1]?.length ?? 0) + dashes.length;
  const value = /^([^\s:]+)\s*:\s+(.*)$/.exec(rest);
  const path: (string | number)[] = [];
  const prepend = (step: string | number) => path.unshift(step);
  if (dashes !== "") {
    indent = item?.[1]?.length ?? 0;
    prepend(0);
  }
  let listAllowed = dashes !== "";
  for (let i = lines.length - 2; i >= 0 && (indent > 0 || listAllowed); i--) {
    const line = lines[i] ?? "";
    if (/^\s*(#|$)/.test(line)) continue;
    if (/^---/.test(line)) break;
    const match = named.exec(line);
    const own = match?.[1]?.length ?? (/^\s*/.exec(line)?.[0].length ?? 0);
    const marks = match?.[2] ?? (/^\s*((?:- +)*)/.exec(line)?.[1] ?? "");
    const column = own + marks.length;
    if (marks !== "" && own < indent && column >= indent) {
      // The line begins the item of a list that holds what was found so far.
      prepend(0);
      indent = own;
      listAllowed = true;
      continue;
    }
    if (!match) continue;
    if (column < indent || (listAllowed && marks === "" && column === indent)) {
      prepend((match[3] ?? match[4] ?? match[5] ?? "").trim());
      listAllowed = false;
      indent = column;
      if (marks !== "") {
        prepend(0);
        indent = own;
        listAllowed = true;
      }
    }
  }
  return { path, typed: value ? value[2] ?? "" : rest, atName: value === null, field: value?.[1] ?? "" };
}
