/** The interface of a download's target: it opens a sink for each file and hands all files over at the end. */

/** @typedef {import("./file-entry.js").FileEntry} FileEntry */
/** @typedef {{entry: FileEntry, blob: Blob}} SavedMember */
/**
 * @typedef {{name: string, blob: Blob | null, members?: SavedMember[]}} SavedFile blob: null when the file is in its place
 *   already; members: the files of an archive
 */

/**
 * @typedef {object} FileSink of one file
 * @property {number} storedBytes at the start of the file, which an earlier download has stored
 * @property {(at: number, length: number) => Promise<Uint8Array<ArrayBuffer>>} read stored bytes
 * @property {(at: number, bytes: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer> | void>} write
 *   resolves when the bytes are stored; with the bytes, if their buffer may be reused
 * @property {() => Promise<void>} close called after the last write
 */

/**
 * @typedef {object} BatchFile a small file
 * @property {FileEntry} entry
 * @property {Uint8Array<ArrayBuffer> | null} bytes all of the file; null: it has failed
 * @property {boolean} isStored whether `readBatch` has returned the same bytes
 */

/**
 * @typedef {object} DownloadTarget
 * @property {boolean} allOrNothing whether one failed file fails the whole download
 * @property {(entry: FileEntry) => Promise<FileSink>} open called in order; a file may be opened before
 *   the previous one is closed
 * @property {(entries: FileEntry[]) => Promise<Array<Uint8Array<ArrayBuffer> | null>>} [readBatch] what an
 *   earlier download has stored of these small files, each completely or null; called once before `writeBatch`
 * @property {(files: BatchFile[]) => Promise<void>} [writeBatch] stores and closes small files; a target
 *   without it gets them by `open`, one after the other
 * @property {(entry: FileEntry) => Promise<void>} remove a failed file
 * @property {(entries: FileEntry[]) => Promise<SavedFile[]>} finish
 * @property {(options: {keep: boolean, complete: FileEntry[]}) => Promise<void>} abort keep: the download may be
 *   retried; complete: the files that the user keeps if they have a name of their own already
 */

export {}; // only types
