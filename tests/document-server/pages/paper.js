// The text field, and the carets of the others in it.

import { difference, moved, rebased } from './edits.js';

export class Paper {
  #field;
  #overlay;
  #on;
  /** The text that everybody has, as far as it was shown here. */
  #shown = '';
  /** What was last told of the selection. */
  #selection = [0, 0];
  /** A text that came while an input method was at work, which would lose its place. */
  #waiting;
  #isComposing = false;

  /** `on` has the functions `edited(edit, selection)` and `selected(selection)`. */
  constructor(field, overlay, on) {
    [this.#field, this.#overlay, this.#on] = [field, overlay, on];
    field.addEventListener('input', () => this.#edited());
    field.addEventListener('compositionstart', () => (this.#isComposing = true));
    field.addEventListener('compositionend', () => {
      this.#isComposing = false;
      this.#edited();
    });
    document.addEventListener('selectionchange', () => this.#selected());
  }

  /** The text without what an input method is still at work on. */
  get text() {
    return this.#shown;
  }

  /** Whether a person can write. */
  get isOpen() {
    return !this.#field.readOnly;
  }

  set isOpen(isOpen) {
    this.#field.readOnly = !isOpen;
  }

  /** Shows what the text has become, the caret where it was in it. */
  show(text) {
    if (this.#isComposing) {
      this.#waiting = text;
      return;
    }
    const edit = difference(this.#shown, text);
    if (!edit) return;
    const { selectionDirection } = this.#field;
    this.#selection = this.#range.map((position) => moved(position, edit));
    this.#shown = text;
    this.#field.value = text;
    this.#field.setSelectionRange(...this.#selection, selectionDirection);
  }

  /** Draws the others `{ name, color, caret }`. */
  draw(others) {
    const carets = others.filter(({ caret }) => caret !== undefined).sort((one, other) => one.caret - other.caret);
    const pieces = [];
    let position = 0;
    for (const { name, color, caret } of carets) {
      const mark = document.createElement('span');
      mark.dataset.name = name;
      mark.style.setProperty('--color', color);
      pieces.push(this.#shown.slice(position, caret), mark);
      position = caret;
    }
    // The overlay is as high as the text, its last empty line too, and so the field is.
    this.#overlay.replaceChildren(...pieces, `${this.#shown.slice(position)}\u200b`);
  }

  get #range() {
    return [this.#field.selectionStart, this.#field.selectionEnd];
  }

  #edited() {
    if (this.#isComposing) return;
    const typed = difference(this.#shown, this.#field.value);
    const others = this.#waiting === undefined ? undefined : difference(this.#shown, this.#waiting);
    this.#waiting = undefined;
    this.#shown = this.#field.value;
    if (typed) {
      this.#selection = this.#range;
      if (others) this.#selection = this.#selection.map((position) => moved(position, rebased(others, typed)));
      this.#on.edited(others ? rebased(typed, others) : typed, this.#selection);
    } else if (others) {
      this.#on.edited(undefined, this.#selection);
    }
  }

  #selected() {
    const range = this.#range;
    const isTold = range.every((position, index) => position === this.#selection[index]);
    if (document.activeElement !== this.#field || this.#isComposing || isTold) return;
    this.#selection = range;
    this.#on.selected(range);
  }
}
