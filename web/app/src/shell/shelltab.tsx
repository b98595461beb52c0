// A shell in a container, or its main process's terminal.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { query } from "../api/http";
import { resources } from "../data/cluster";
import { resourcePath } from "../kube/resource";
import { plain } from "../kube/format";
import type { Container, Pod } from "../kube/types";
import { Note } from "../ui/basics";
import { dark } from "../ui/settings";
import { connect } from "./exec";
import { typeLine } from "./lines";
import { allowColours, withSheets } from "./styles";

type Mode = "shell" | "attach";

const shell = ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash || exec sh"];

export default function ShellTab({ pod }: { pod: Pod }): JSX.Element {
  const containers = pod.spec?.containers ?? [];
  const [name, setName] = useState(containers[0]?.name ?? "");
  const [mode, setMode] = useState<Mode>("shell");
  const [attempt, setAttempt] = useState(0);
  const [ended, setEnded] = useState("");
  const container = containers.find((c) => c.name === name);
  const start = (change: () => void) => {
    setEnded("");
    change();
    setAttempt(attempt + 1);
  };
  if (!container) return <Note>This pod has no container.</Note>;
  return (
    <div class="shell-tab">
      <div class="bar">
        <select aria-label="Container" value={name} onChange={(e) => { const v = e.currentTarget.value; start(() => setName(v)); }}>
          {containers.map((c) => <option key={c.name} value={c.name}>{c.name}</option>)}
        </select>
        <select aria-label="What to open" value={mode} onChange={(e) => { const v = e.currentTarget.value as Mode; start(() => setMode(v)); }}>
          <option value="shell">Shell</option>
          <option value="attach">Attach to the main process</option>
        </select>
        <span class="muted small">{mode === "attach" && !container.stdin ? "This container does not read input." : "All keys, including Tab, go to the container. Leave with shift+esc."}</span>
        <span class="spring" />
        {ended !== "" && <><span role="status">{ended}</span><button type="button" class="primary" onClick={() => start(() => undefined)}>Connect again</button></>}
      </div>
      <Screen key={`${name} ${mode} ${attempt}`} pod={pod} container={container} mode={mode} onEnd={setEnded} />
    </div>
  );
}

function pathOf(pod: Pod, container: Container, mode: Mode): string {
  const r = resources.peek().get("pods")!;
  const tty = mode === "shell" || (container.tty ?? false);
  const path = resourcePath(r, pod.metadata.namespace, pod.metadata.name, mode === "shell" ? "exec" : "attach");
  const q = query(path, { container: container.name, stdin: mode === "shell" || (container.stdin ?? false), stdout: true, stderr: !tty, tty });
  return mode === "shell" ? q + shell.map((part) => `&command=${encodeURIComponent(part)}`).join("") : q;
}

function Screen({ pod, container, mode, onEnd }: { pod: Pod; container: Container; mode: Mode; onEnd(message: string): void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const isDark = dark.value;
  const terminal = useRef<Terminal | undefined>(undefined);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = new Terminal({
      fontFamily: getComputedStyle(element).fontFamily, fontSize: 13, scrollback: 5000, cursorBlink: false, screenReaderMode: true,
      convertEol: mode === "attach" && !container.tty, theme: colours(element),
    });
    const fit = new FitAddon();
    made.loadAddon(fit);
    allowColours();
    withSheets(() => made.open(element));
    terminal.current = made;
    fit.fit();
    const session = connect(pathOf(pod, container, mode), {
      open: () => {
        session.resize(made.cols, made.rows);
        made.focus();
      },
      output: (data) => made.write(data),
      end: (message) => {
        made.write("\r\n");
        onEnd(plain(message));
      },
    });
    const cooked = mode === "attach" && !container.tty;
    let line = "";
    made.onData((data) => {
      if (!cooked) {
        session.write(data);
        return;
      }
      const typed = typeLine(line, data);
      line = typed.rest;
      made.write(typed.echo);
      if (typed.send !== "") session.write(typed.send);
    });
    made.onResize(({ cols, rows }) => session.resize(cols, rows));
    made.attachCustomKeyEventHandler((event) => {
      if (event.key === "Escape" && event.shiftKey) {
        made.blur();
        document.querySelector<HTMLElement>(".shell-tab select")?.focus();
        return false;
      }
      return true;
    });
    const observer = new ResizeObserver(() => fit.fit());
    observer.observe(element);
    return () => {
      observer.disconnect();
      session.close();
      made.dispose();
    };
  }, []);
  useEffect(() => {
    if (terminal.current && box.current) terminal.current.options.theme = colours(box.current);
  }, [isDark]);
  return <div class="terminal-box" ref={box} />;
}

function colours(element: HTMLElement): Record<string, string> {
  const style = getComputedStyle(element);
  const get = (name: string) => style.getPropertyValue(name).trim();
  const isDark = dark.peek();
  return {
    background: get("--panel"), foreground: get("--text"), cursor: get("--text"), selectionBackground: get("--current"),
    black: isDark ? "#3b4252" : "#1b2030", red: get("--bad"), green: get("--good"), yellow: get("--busy"), blue: get("--series-0"),
    magenta: get("--series-3"), cyan: get("--series-5"), white: isDark ? "#d8dee9" : "#5a6375", brightBlack: get("--muted"),
    brightRed: get("--bad"), brightGreen: get("--good"), brightYellow: get("--busy"), brightBlue: get("--series-0"),
    brightMagenta: get("--series-3"), brightCyan: get("--series-5"), brightWhite: get("--text"),
  };
}
