/** `handclasp/share`: sharing and fetching files over `handclasp/rtc`. */

/** @typedef {import("./catalogue.js").Catalogue} Catalogue */
/** @typedef {import("./device.js").Device} Device */
/** @typedef {import("./download.js").DownloadProgress} DownloadProgress */
/** @typedef {import("./download.js").DownloadResult} DownloadResult */
/** @typedef {import("./file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./file-entry.js").FileSource} FileSource */
/** @typedef {import("./file-fetch.js").FetchState} FetchState */
/** @typedef {import("./quick/receive.js").Received} Received */
/** @typedef {import("./remote-receiver.js").RemoteReceiver} RemoteReceiver */
/** @typedef {import("./quick/share.js").BrokerAccess} BrokerAccess */
/** @typedef {import("./quick/share.js").Shared} Shared */
/** @typedef {import("./share-link.js").NoShareLink} NoShareLink */
/** @typedef {import("./share-link.js").ShareLink} ShareLink */
/** @typedef {import("./download-target.js").BatchFile} BatchFile */
/** @typedef {import("./download-target.js").DownloadTarget} DownloadTarget */
/** @typedef {import("./download-target.js").FileSink} FileSink */
/** @typedef {import("./download-target.js").SavedFile} SavedFile */

export { thisDevice } from "./device.js";
export { Download } from "./download.js";
export { ProofError, TransferError } from "./errors.js";
export { emptyFolder, textFile } from "./file-entry.js";
export { FileFetch } from "./file-fetch.js";
export { FileShare } from "./file-share.js";
export { prove } from "./key-proof.js";
export { derivePasswordKey } from "./password-key.js";
export { receive } from "./quick/receive.js";
export { share } from "./quick/share.js";
export { KEY_BYTES, makeLink, readLink } from "./share-link.js";
export { FolderTarget } from "./targets/folder-target.js";
export { MemoryTarget } from "./targets/memory-target.js";
export { openTarget } from "./targets/open-target.js";
export { PickedFileTarget } from "./targets/picked-file-target.js";
export { TextTarget } from "./targets/text-target.js";
