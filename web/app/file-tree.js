/**
 * A list of files on the page, as a tree whose folders fold. Only the rows in view are in the document, so that
 * thousands of files stay fluid. For assistive technology it is a treegrid.
 */

import { createIcon, createTile } from "./file-tile.js";
import { formatFiles, formatSize, t } from "./i18n.js";
import { TreeModel } from "./tree-model.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./tree-model.js").TreeNode} TreeNode */

/**
 * @typedef {object} RowTools what a list does with its files
 * @property {(node: TreeNode) => {before?: HTMLElement, after?: HTMLElement}} create controls of a new row
 * @property {(node: TreeNode, row: HTMLElement) => void} [update] shows the state of a row's controls
 * @property {(node: TreeNode) => void} [toggle] for a click on a file, and the space bar
 * @property {(node: TreeNode) => void} [remove] for the key Delete
 * @property {RowSelection} [selection] if rows can be selected
 */

/**
 * @typedef {object} RowSelection
 * @property {() => boolean} isPossible for the rows of the list that is shown
 * @property {(node: TreeNode) => boolean} isSelected
 * @property {() => void} selectAll for Ctrl+A
 */

/** The height of a row, as in style/files.css (rem). */
const ROW_HEIGHT = 3.25;
/** Rows above and below those in view, which appear at once when the list is scrolled. */
const MARGIN = 6;
/** Deeper folders are not indented further, so that names keep their room. */
const MAX_INDENT = 6;
/** So many characters at the end of a long name stay visible: its extension. */
const END_CHARS = 8;
const CHEVRON = "M9 6l6 6-6 6";

export class FileTree {
  #place;
  #rowGroup = document.createElement("div");
  #thumbnails;
  #tools;
  #model = new TreeModel();
  /** @type {TreeNode[]} the rows, in view or not */
  #nodes = [];
  /** @type {Map<string, number>} the place of each row in `#nodes`, by key */
  #indexes = new Map();
  /** @type {Map<string, HTMLElement>} the rows in the document, by key */
  #rows = new Map();
  /** The key of the row that the keyboard is at. */
  #active = "";
  /** Which of its controls the keyboard is at; -1: the row itself. */
  #control = -1;
  /** Whether the focus is put back, and the keyboard stays where it is. */
  #isRestoring = false;
  /** Whether the list had the focus when it became empty, as it does while the sender reloads the page. */
  #isFocusLost = false;

  /**
   * @param {HTMLElement} place
   * @param {import("./lazy-thumbnails.js").LazyThumbnails} thumbnails
   * @param {RowTools} tools
   */
  constructor(place, thumbnails, tools) {
    this.#place = place;
    this.#thumbnails = thumbnails;
    this.#tools = tools;
    place.setAttribute("role", "treegrid");
    this.#rowGroup.setAttribute("role", "rowgroup");
    place.replaceChildren(this.#rowGroup);
    place.addEventListener("scroll", () => this.#render(), { passive: true });
    place.addEventListener("keydown", (event) => this.#handleKey(event));
    place.addEventListener("focusin", ({ target }) => this.#activate(/** @type {HTMLElement} */ (target)));
    new ResizeObserver(() => this.#render()).observe(place);
  }

  /** @param {FileEntry[]} entries */
  show(entries) {
    this.#thumbnails.list(entries);
    this.#model.show(entries);
    this.#place.classList.toggle("flat", this.#model.roots.every(({ children }) => children === null));
    this.#rebuild();
  }

  /** Shows the state of the controls again. */
  update() {
    const hadFocus = this.#hasFocus();
    this.#showSelectable();
    for (const [key, row] of this.#rows) this.#refresh(this.#nodes[this.#indexOf(key)], row);
    if (hadFocus) this.#restoreFocus();
  }

  #showSelectable() {
    if (this.#tools.selection?.isPossible()) this.#place.setAttribute("aria-multiselectable", "true");
    else this.#place.removeAttribute("aria-multiselectable");
  }

  #hasFocus() {
    const { activeElement, body } = document;
    return this.#place.contains(activeElement) || (this.#isFocusLost && activeElement === body);
  }

  /** After the rows were drawn again, or their controls disabled. The page does not scroll. */
  #restoreFocus() {
    const row = this.#rows.get(this.#active);
    const control = row && controlsOf(row)[this.#control];
    const target = control && !control.disabled ? control : row;
    if (!target || target === document.activeElement) return;
    this.#isRestoring = true;
    target.focus({ preventScroll: true });
    this.#isRestoring = false;
  }

  /**
   * @param {TreeNode} node
   * @param {HTMLElement} row
   */
  #refresh(node, row) {
    this.#tools.update?.(node, row);
    const { selection } = this.#tools;
    if (selection?.isPossible()) row.setAttribute("aria-selected", String(selection.isSelected(node)));
    // The Tab key stops at one row and its controls, and goes on behind the list.
    const tabIndex = node.key === this.#active ? 0 : -1;
    row.tabIndex = tabIndex;
    for (const control of controlsOf(row)) control.tabIndex = tabIndex;
  }

  /** @param {string} key @returns {number} -1: no row has it */
  #indexOf(key) {
    return this.#indexes.get(key) ?? -1;
  }

  #rebuild() {
    const position = this.#indexOf(this.#active);
    const hadFocus = this.#hasFocus();
    this.#nodes = this.#model.rows;
    this.#indexes = new Map(this.#nodes.map(({ key }, index) => [key, index]));
    this.#isFocusLost = hadFocus && this.#nodes.length === 0;
    if (this.#nodes.length > 0 && !this.#indexes.has(this.#active)) {
      // The row is gone: the one in its place takes the keyboard, but no press of the same key its control.
      this.#control = -1;
      this.#active = this.#nodes[Math.min(Math.max(position, 0), this.#nodes.length - 1)].key;
    }
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.#rowGroup.style.height = `${this.#nodes.length * ROW_HEIGHT}rem`;
    this.#place.setAttribute("aria-rowcount", String(this.#nodes.length));
    this.#showSelectable();
    this.#render();
    if (hadFocus) this.#restoreFocus();
  }

  /** Brings the rows in view into the document, and removes the others. */
  #render() {
    const height = ROW_HEIGHT * parseFloat(getComputedStyle(document.documentElement).fontSize);
    const first = Math.max(0, Math.floor(this.#place.scrollTop / height) - MARGIN);
    const last = first + Math.ceil(this.#place.clientHeight / height) + 2 * MARGIN;
    // The row that the keyboard is at stays, or the keyboard would lose its place.
    const shown = new Set(this.#nodes.slice(first, last + 1).map(({ key }) => key));
    if (this.#indexes.has(this.#active)) shown.add(this.#active);
    for (const key of shown) if (!this.#rows.has(key)) this.#insert(this.#indexOf(key));
    for (const [key, row] of this.#rows) {
      if (shown.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
  }

  /** @param {number} index */
  #insert(index) {
    const node = this.#nodes[index];
    const row = this.#createRow(node, index);
    this.#rows.set(node.key, row);
    // In the order of the list, for screen readers and the Tab key.
    const next = Array.from(this.#rowGroup.children).find((other) => Number(/** @type {HTMLElement} */ (other).dataset.index) > index);
    this.#rowGroup.insertBefore(row, next ?? null);
    this.#refresh(node, row);
  }

  /**
   * @param {TreeNode} node
   * @param {number} index
   */
  #createRow(node, index) {
    const row = document.createElement("div");
    const cell = document.createElement("div");
    const { children, entries, level } = node;
    const [entry] = entries;
    const { before, after } = this.#tools.create(node);
    row.className = "row";
    row.dataset.index = String(index);
    row.style.transform = `translateY(${index * ROW_HEIGHT}rem)`;
    row.style.setProperty("--indent", String(Math.min(level - 1, MAX_INDENT)));
    const marks = { role: "row", "aria-level": level, "aria-posinset": node.position, "aria-setsize": this.#model.siblingsOf(node).length, "aria-rowindex": index + 1 };
    for (const [name, value] of Object.entries(marks)) row.setAttribute(name, String(value));
    if (children) row.setAttribute("aria-expanded", String(!this.#model.isFolded(node)));
    const chevron = document.createElement("span");
    chevron.className = "chevron";
    if (children) chevron.append(createIcon(CHEVRON));
    const tile = createTile(children ? null : entry);
    if (!children) void this.#thumbnails.show(entry, tile);
    const sizeText = children ? formatFiles(entries) : entry.isFolder ? t("empty_folder") : formatSize(entry.size);
    row.setAttribute("aria-label", `${node.name}, ${sizeText}`);
    cell.className = "cell";
    cell.setAttribute("role", "gridcell");
    cell.append(chevron, ...(before ? [before] : []), tile, createName(node.name, sizeText));
    row.append(cell);
    if (after) row.append(createEnd(after));
    row.addEventListener("click", ({ target }) => {
      if (/** @type {Element} */ (target).closest("button, input")) return;
      if (children) this.#fold(node, !this.#model.isFolded(node));
      else this.#tools.toggle?.(node);
    });
    return row;
  }

  /**
   * @param {TreeNode} node
   * @param {boolean} isFolded
   */
  #fold(node, isFolded) {
    this.#model.fold(node, isFolded);
    this.#active = node.key;
    this.#rebuild();
  }

  /** @param {HTMLElement} target that got the focus */
  #activate(target) {
    const row = /** @type {HTMLElement | null} */ (target.closest(".row"));
    const node = row && this.#nodes[Number(row.dataset.index)];
    if (!row || !node || this.#isRestoring) return;
    this.#control = controlsOf(row).findIndex((control) => control === target);
    if (node.key === this.#active) return;
    this.#active = node.key;
    this.update();
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    const index = this.#indexOf(this.#active);
    const node = this.#nodes[index];
    const isInControl = /** @type {Element} */ (event.target).matches("button, input");
    if (event.key === "a" && (event.ctrlKey || event.metaKey) && this.#tools.selection) {
      event.preventDefault();
      return this.#tools.selection.selectAll();
    }
    if (!node || event.altKey || event.ctrlKey || event.metaKey) return;
    const isOpen = node.children !== null && !this.#model.isFolded(node);
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowDown: () => this.#focus(index + 1),
      ArrowUp: () => this.#focus(index - 1),
      Home: () => this.#focus(0),
      End: () => this.#focus(this.#nodes.length - 1),
      ArrowRight: () => (node.children && !isOpen ? this.#fold(node, false) : isOpen && this.#focus(index + 1)),
      ArrowLeft: () => (isOpen ? this.#fold(node, true) : node.parent && this.#focus(this.#indexOf(node.parent.key))),
    };
    if (!isInControl) {
      keys.Enter = () => node.children && this.#fold(node, isOpen);
      keys[" "] = () => (this.#tools.toggle ? this.#tools.toggle(node) : keys.Enter());
      keys.Delete = () => this.#tools.remove?.(node);
    }
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }

  /** @param {number} index of the row that gets the focus */
  #focus(index) {
    const node = this.#nodes[index];
    if (!node) return;
    if (!this.#rows.has(node.key)) this.#insert(index);
    const row = /** @type {HTMLElement} */ (this.#rows.get(node.key));
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    this.#render();
  }
}

/**
 * @param {HTMLElement} row
 * @returns {Array<HTMLButtonElement | HTMLInputElement>}
 */
function controlsOf(row) {
  return Array.from(row.querySelectorAll("button, input"));
}

/**
 * @param {string} name
 * @param {string} size
 */
function createName(name, size) {
  const label = document.createElement("span");
  const bdi = document.createElement("bdi");
  const stem = document.createElement("span");
  const sizeLabel = document.createElement("span");
  const dot = name.lastIndexOf(".");
  const cut = dot > 0 && name.length - dot <= END_CHARS ? dot : name.length;
  label.className = "name";
  label.title = name;
  stem.textContent = name.slice(0, cut);
  bdi.append(stem, name.slice(cut));
  sizeLabel.className = "quiet";
  sizeLabel.textContent = size;
  label.append(bdi, sizeLabel);
  return label;
}

/** @param {HTMLElement} control */
function createEnd(control) {
  const cell = document.createElement("div");
  cell.setAttribute("role", "gridcell");
  cell.append(control);
  return cell;
}
