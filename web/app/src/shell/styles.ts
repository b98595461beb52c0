// xterm.js adds style elements and style attributes, which the content security policy
// forbids. Here the same rules become a constructed style sheet and properties of
// elements, which it allows.

/** withSheets runs open, during which style elements that are made are style sheets instead. */
export function withSheets(open: () => void): void {
  const create = document.createElement.bind(document);
  const replacement = (name: string, options?: ElementCreationOptions) => (name.toLowerCase() === "style" ? sheetElement(create) : create(name, options));
  Object.defineProperty(document, "createElement", { configurable: true, value: replacement });
  try {
    open();
  } finally {
    delete (document as { createElement?: unknown }).createElement; // that of the prototype is back
  }
}

/** sheetElement returns an element whose text is that of a style sheet of the document. */
function sheetElement(create: (name: string) => HTMLElement): HTMLElement {
  const element = create("span");
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  element.hidden = true;
  Object.defineProperty(element, "textContent", { set: (text: string) => sheet.replaceSync(text), get: () => "" });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet);
    remove();
  };
  return element;
}

const setAttribute = HTMLSpanElement.prototype.setAttribute;

/** allowColours lets the spans of a terminal have colours of their own. */
export function allowColours(): void {
  HTMLSpanElement.prototype.setAttribute = function set(this: HTMLSpanElement, name: string, value: string) {
    if (name === "style") {
      this.style.cssText = value;
    } else {
      setAttribute.call(this, name, value);
    }
  };
}
