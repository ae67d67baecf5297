/**
 * Chooses the target of a download by what the browser can do.
 *
 * - `OpfsTarget`: the browser's private file system. It needs no memory for the files and survives a
 *   reload. First choice if it has room.
 * - `StreamTarget`: a service worker feeds a download of the browser. It needs no memory for the files
 *   and has no size limit, but a reload starts it again.
 * - `MemoryTarget`: if neither is available. At most 512 MiB.
 *
 * `FolderTarget` and `PickedFileTarget` write to a place that the user has picked. The application opens
 * them itself, and a reload forgets the place.
 */

import { TransferError } from "../errors.js";
import { totalSize } from "../file-entry.js";
import { MEMORY_LIMIT, MemoryTarget } from "./memory-target.js";
import { OpfsTarget, opfsRoom } from "./opfs-target.js";
import { StreamTarget, canStream } from "./stream-target.js";

/**
 * @param {import("../file-entry.js").FileEntry[]} entries to be downloaded
 * @param {string} scope identifies the share, so that a later download finds what this one has stored
 * @returns {Promise<import("../download-target.js").DownloadTarget>}
 * @throws {TransferError} `too_large` for this browser
 */
export async function openTarget(entries, scope) {
  const size = totalSize(entries);
  const room = await opfsRoom(scope);
  if (size <= room) return new OpfsTarget(scope);
  if (await canStream()) return StreamTarget.open(entries);
  if (size <= MEMORY_LIMIT) return new MemoryTarget();
  throw new TransferError("too_large", `${size} bytes, this browser can store ${Math.max(room, MEMORY_LIMIT)}`);
}
