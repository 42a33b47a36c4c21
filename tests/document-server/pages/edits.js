// Edits of a text: `{ from, to, insert }` replaces what is between two positions, in UTF-16 units.

/** The smallest edit that makes `after` of `before`; undefined when they are equal. */
export function difference(before, after) {
  if (before === after) return undefined;
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  if (isInsidePair(before, start) || isInsidePair(after, start)) start -= 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  if (isInsidePair(before, before.length - end) || isInsidePair(after, after.length - end)) end -= 1;
  return { from: start, to: before.length - end, insert: after.slice(start, after.length - end) };
}

/** The text after an edit. */
export function applied(text, { from, to, insert }) {
  return text.slice(0, from) + insert + text.slice(to);
}

/** The edit that takes back an edit of `text`. */
export function inverse(text, { from, to, insert }) {
  return { from, to: from + insert.length, insert: text.slice(from, to) };
}

/** Where a position is after an edit; one in what was replaced goes to its end. */
export function moved(position, { from, to, insert }) {
  if (position <= from) return position;
  if (position < to) return from + insert.length;
  return position - to + from + insert.length;
}

/** An edit of the same text as `other`, for the text after `other`. */
export function rebased(edit, other) {
  return { ...edit, from: moved(edit.from, other), to: moved(edit.to, other) };
}

/** Whether a character of two units is cut in half there. */
function isInsidePair(text, position) {
  return /[\uD800-\uDBFF]/.test(text[position - 1] ?? '') && /[\uDC00-\uDFFF]/.test(text[position] ?? '');
}
