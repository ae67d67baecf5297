/** What kind of file it is, for its icon. */

/** @typedef {"folder" | "image" | "video" | "audio" | "archive" | "document" | "code" | "other"} FileKind */

/** @type {Array<[FileKind, string]>} */
const EXTENSIONS = [
  ["image", "avif bmp gif heic heif ico jpeg jpg png psd raw svg tif tiff webp"],
  ["video", "avi m4v mkv mov mp4 mpeg mpg webm wmv"],
  ["audio", "aac aif aiff flac m4a mid mp3 oga ogg opus wav wma"],
  ["archive", "7z apk bz2 deb dmg gz iso jar rar rpm tar tgz xz zip zst"],
  ["document", "csv doc docx epub key md numbers odp ods odt pages pdf ppt pptx rtf tex txt xls xlsx"],
  ["code", "c cc cpp css go h html java js json jsx kt lua php pl py rb rs sh sql swift toml ts tsx vue wasm xml yaml yml"],
];
/** @type {Map<string, FileKind>} */
const BY_EXTENSION = new Map(EXTENSIONS.flatMap(([kind, names]) => names.split(" ").map((name) => [name, kind])));

/**
 * @param {string} name
 * @returns {string} in lower case; empty if there is none
 */
export function extensionOf(name) {
  return /\.([^.]+)$/.exec(name)?.[1].toLowerCase() ?? "";
}

/**
 * @param {{path: string[], type: string, isFolder?: true}} entry
 * @returns {FileKind}
 */
export function fileKind({ path, type, isFolder }) {
  if (isFolder) return "folder";
  const known = BY_EXTENSION.get(extensionOf(path.at(-1) ?? ""));
  const family = /^(image|video|audio)\//.exec(type)?.[1];
  return /** @type {FileKind} */ (known ?? family ?? (type.startsWith("text/") ? "document" : "other"));
}
