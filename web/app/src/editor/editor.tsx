// The YAML editor. It lives in a shadow root, where CodeMirror adopts its style sheets
// instead of adding style elements, which the content security policy forbids.

import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { foldGutter, foldKeymap, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { linter, lintGutter, lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { complete, describe, lint } from "./help";

const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--text)", backgroundColor: "var(--panel)", fontSize: "12.5px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
  ".cm-gutters": { backgroundColor: "var(--panel)", color: "var(--muted)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--hover) 60%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--current)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--strong-line)", borderRadius: "6px", maxWidth: "440px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--current)", color: "var(--text)" },
  ".cm-completionInfo": { maxHeight: "220px", overflow: "auto", whiteSpace: "pre-wrap" },
  ".cm-completionDetail": { color: "var(--muted)" },
  ".cm-panels": { backgroundColor: "var(--bg)", color: "var(--text)" },
  ".cm-panel input, .cm-panel button": { backgroundImage: "none", background: "var(--panel)", color: "var(--text)", border: "1px solid var(--strong-line)", borderRadius: "4px" },
  ".field-help": { padding: "8px 12px", maxHeight: "240px", overflow: "auto" },
  ".field-help p": { margin: "4px 0 0", whiteSpace: "pre-wrap" },
  ".cm-searchMatch": { backgroundColor: "color-mix(in srgb, var(--mark) 45%, transparent)" },
  ".cm-placeholder": { color: "var(--muted)" },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--series-0)" },
  { tag: tags.string, color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--series-3)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.meta, tags.labelName, tags.typeName], color: "var(--busy)" },
]);

/** newlineAfterField begins the fields of an object one step further in. */
function newlineAfterField(view: EditorView): boolean {
  const { main } = view.state.selection;
  const line = view.state.doc.lineAt(main.head);
  const field = /^(\s*(?:- +)*)[^\s#][^#]*:\s*$/.exec(line.text);
  if (view.state.readOnly || !main.empty || main.head !== line.to || !field) return false;
  view.dispatch(view.state.replaceSelection(`\n${" ".repeat((field[1] ?? "").length + 2)}`), { scrollIntoView: true, userEvent: "input" });
  return true;
}

interface Props {
  label: string;
  /** What is shown. While editing it is only the beginning: the editor has the text. */
  value: string;
  readOnly?: boolean;
  hint?: string;
  onChange?(value: string): void;
  onSubmit?(): void;
}

export function Editor(p: Props): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | undefined>(undefined);
  const latest = useRef(p);
  latest.current = p;
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(":host { display: block } .editor-root { height: 100% }");
    root.adoptedStyleSheets = [sheet];
    const parent = document.createElement("div");
    parent.className = "editor-root";
    root.replaceChildren(parent);
    const made = new EditorView({
      parent, root,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          lineNumbers(), foldGutter(), history(), drawSelection(), indentOnInput(), closeBrackets(), highlightActiveLine(), highlightSelectionMatches(),
          search({ top: true }), yaml(), syntaxHighlighting(colours), theme, EditorView.lineWrapping,
          EditorState.readOnly.of(p.readOnly ?? false), EditorState.tabSize.of(2),
          EditorView.contentAttributes.of({ "aria-label": latest.current.label, tabindex: "0" }),
          ...(p.hint ? [placeholder(p.hint)] : []),
          ...(p.readOnly ? [] : [autocompletion({ override: [complete] }), linter(lint, { delay: 400 }), lintGutter()]),
          describe,
          keymap.of([
            { key: "Mod-Enter", run: () => { latest.current.onSubmit?.(); return true; } },
            { key: "Escape", run: (v) => { v.contentDOM.blur(); return true; } },
            ...completionKeymap, { key: "Enter", run: newlineAfterField }, ...lintKeymap, ...searchKeymap, ...foldKeymap, ...historyKeymap, ...defaultKeymap,
            ...(p.readOnly ? [] : [indentWithTab]),
          ]),
          EditorView.updateListener.of((u) => {
            if (u.docChanged) latest.current.onChange?.(u.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, [p.readOnly]);
  useEffect(() => {
    const v = view.current;
    if (p.readOnly && v && v.state.doc.toString() !== p.value) {
      v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: p.value } });
    }
  }, [p.value]);
  return <div class="editor" ref={host} />;
}
