// Editing and echo of lines for a program that has no terminal to do it.

export interface Typed {
  rest: string; // the line that is not complete yet
  send: string;
  echo: string;
}

/** typeLine adds typed data to a line. Enter sends the line. */
export function typeLine(line: string, data: string): Typed {
  const typed: Typed = { rest: line, send: "", echo: "" };
  if (data.startsWith("\u001b")) return typed; // arrows and the like
  for (const c of data) {
    if (c === "\r" || c === "\n") {
      typed.send += typed.rest + "\n";
      typed.rest = "";
      typed.echo += "\r\n";
    } else if (c === "\u007f" || c === "\b") {
      if (typed.rest !== "") typed.echo += "\b \b";
      typed.rest = [...typed.rest].slice(0, -1).join("");
    } else if (c >= " ") {
      typed.rest += c;
      typed.echo += c;
    }
  }
  return typed;
}
