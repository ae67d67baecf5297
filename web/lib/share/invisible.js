/**
 * Characters without a visible form in the names of strangers. They are removed, because names that differ
 * only in them look the same and some of them turn the text around, except where a letter or an emoji needs
 * them: there they change what one sees.
 */

/**
 * Control characters, formatting (bidirectional overrides, zero widths), lone surrogates, line breaks,
 * and all other characters without a visible form.
 */
const INVISIBLE = String.raw`[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]`;
/** Scripts whose letters are written in another way beside a joiner or a non-joiner. */
const JOINING = [
  ...["Arabic", "Syriac", "Mandaic", "Nko", "Mongolian", "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil"],
  ...["Telugu", "Kannada", "Malayalam", "Sinhala", "Khmer", "Myanmar", "Tibetan", "Balinese", "Javanese"],
].map((script) => String.raw`\p{Script=${script}}`).join("");
/** Signs that remove the vowel of an Indic letter: a joiner after them shapes it, also at the end of a word. */
const VIRAMAS = String.raw`\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D4D\u0DCA`;
const PICTURE = String.raw`\p{Extended_Pictographic}`;

const NEEDED = [
  // U+200C and U+200D between letters, and after a virama.
  `(?<=[${JOINING}])[\\u200C\\u200D](?=[${JOINING}])`,
  `(?<=[${VIRAMAS}])[\\u200C\\u200D]`,
  // U+200D between emoji, of which the first may have a presentation selector or a skin tone.
  `(?<=${PICTURE}[\\uFE0F\\u{1F3FB}-\\u{1F3FF}]?)\\u200D(?=${PICTURE})`,
  // The presentation of an emoji, as text or as a picture, and of a keycap.
  `(?<=${PICTURE})[\\uFE0E\\uFE0F]`,
  "(?<=[0-9#])\\uFE0F(?=\\u20E3)",
  // The flags of England, Scotland, Wales and other regions.
  "(?<=\\u{1F3F4})[\\u{E0030}-\\u{E0039}\\u{E0061}-\\u{E007A}]{1,6}\\u{E007F}",
  // Variants of Chinese characters and of Mongolian letters.
  "(?<=\\p{Script=Han})[\\uFE00-\\uFE02\\u{E0100}-\\u{E01EF}]",
  "(?<=\\p{Script=Mongolian})[\\u180B-\\u180D\\u180F]",
].join("|");

const ALL = new RegExp(INVISIBLE, "gu");
const NEEDED_OR_INVISIBLE = new RegExp(`(${NEEDED})|${INVISIBLE}`, "gu");

/**
 * @param {string} text
 * @returns {string} without the invisible characters that no letter and no emoji needs
 */
export function removeInvisible(text) {
  return text.replace(NEEDED_OR_INVISIBLE, (_, needed) => needed ?? "");
}

/**
 * @param {string} text
 * @returns {string} without any invisible character: equal for texts that may look the same
 */
export function removeAllInvisible(text) {
  return text.replace(ALL, "");
}
