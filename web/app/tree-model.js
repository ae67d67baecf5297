/** A list of files as a tree of folders, and which of its rows are shown: those below a folded folder are not. */

import { stableKeys } from "../lib/share/file-entry.js";
import { MAX_FILES } from "../lib/share/protocol.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */

/** Files below more folders than this are one row each, with the rest of their path. */
const MAX_FOLDERS = 2 * MAX_FILES;

/**
 * @typedef {object} TreeNode
 * @property {string} key stays the same when the list changes
 * @property {string} name
 * @property {string} path
 * @property {number} level from 1
 * @property {TreeNode | null} parent
 * @property {TreeNode[] | null} children null: a file, or an empty folder
 * @property {FileEntry[]} entries all below a folder, or the one of a file
 * @property {number} position among the nodes beside it, from 1
 */

export class TreeModel {
  /** @type {TreeNode[]} */
  roots = [];
  /** @type {Set<string>} keys of folders */
  #folded = new Set();

  /** @param {FileEntry[]} entries in the order in which they are shown */
  show(entries) {
    this.roots = [];
    /** @type {Map<string, TreeNode>} folders by path */
    const folders = new Map();
    const keys = stableKeys(entries);
    for (const [index, entry] of entries.entries()) {
      const names = entry.path.slice(0, -1);
      let parent = /** @type {TreeNode | null} */ (null);
      let path = "";
      let depth = 0;
      for (const name of names) {
        path = parent ? `${path}/${name}` : name;
        let folder = folders.get(path);
        if (!folder) {
          if (folders.size >= MAX_FOLDERS) break;
          folder = this.#add({ key: `folder ${path}`, name, path, parent, children: [], entries: [] });
          folders.set(path, folder);
        }
        folder.entries.push(entry);
        parent = folder;
        depth += 1;
      }
      this.#add({ key: `file ${keys[index]}`, name: entry.path.slice(depth).join("/"), path: entry.path.join("/"), parent, children: null, entries: [entry] });
    }
    for (const key of this.#folded) if (!folders.has(key.slice("folder ".length))) this.#folded.delete(key);
  }

  /** @param {Omit<TreeNode, "level" | "position">} start @returns {TreeNode} */
  #add(start) {
    const siblings = this.siblingsOf(start);
    const node = { ...start, level: (start.parent?.level ?? 0) + 1, position: siblings.length + 1 };
    siblings.push(node);
    return node;
  }

  /** @param {Pick<TreeNode, "parent">} node @returns {TreeNode[]} it, and those beside it */
  siblingsOf({ parent }) {
    return parent?.children ?? this.roots;
  }

  /** @param {TreeNode} node */
  isFolded({ key }) {
    return this.#folded.has(key);
  }

  /**
   * @param {TreeNode} node a folder
   * @param {boolean} isFolded
   */
  fold({ key }, isFolded) {
    if (isFolded) this.#folded.add(key);
    else this.#folded.delete(key);
  }

  /** @returns {TreeNode[]} the rows that are shown, from top to bottom */
  get rows() {
    /** @type {TreeNode[]} */
    const rows = [];
    const visit = (/** @type {TreeNode[]} */ nodes) => {
      for (const node of nodes) {
        rows.push(node);
        if (node.children && !this.isFolded(node)) visit(node.children);
      }
    };
    visit(this.roots);
    return rows;
  }
}
