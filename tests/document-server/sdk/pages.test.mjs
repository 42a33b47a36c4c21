// What of the sample page needs no browser: `node --test pages.test.mjs`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applied, difference, inverse, moved, rebased } from '../pages/edits.js';
import { Journey, sentence } from '../pages/journey.js';

const TEXTS = ['', 'a', 'aa', 'ab', 'aba', 'abba', 'a😀', 'a😃', '😀😃', '😃😀', '\u{1F600}\u{1FA00}', 'b\na'];

test('the difference of two texts makes one of the other, and its inverse takes it back', () => {
  for (const before of TEXTS) {
    for (const after of TEXTS) {
      const edit = difference(before, after);
      if (before === after) assert.equal(edit, undefined);
      else assert.equal(applied(before, edit), after);
      if (edit) assert.equal(applied(after, inverse(before, edit)), before);
    }
  }
});

test('a difference never cuts a character in half', () => {
  for (const before of TEXTS) {
    for (const after of TEXTS) {
      const { from, to, insert } = difference(before, after) ?? { from: 0, to: 0, insert: '' };
      for (const piece of [before.slice(0, from), before.slice(from, to), before.slice(to), insert]) {
        assert.ok(piece.isWellFormed?.() ?? true, `${before} to ${after}: ${JSON.stringify(piece)}`);
      }
    }
  }
});

test('a position stays before what is inserted at it, and goes to the end of what replaces it', () => {
  const edit = { from: 2, to: 4, insert: 'xyz' };
  assert.deepEqual([0, 2, 3, 4, 6].map((position) => moved(position, edit)), [0, 2, 5, 5, 7]);
});

test('edits of two people at different places meet in one text, whoever comes first', () => {
  const text = 'one two three';
  const one = difference(text, 'One two three');
  const two = difference(text, 'one two and three');
  const expected = 'One two and three';
  assert.equal(applied(applied(text, one), rebased(two, one)), expected);
  assert.equal(applied(applied(text, two), rebased(one, two)), expected);
});

test('a journey tells where a document is found, that it moved, and how long its stream was away', () => {
  const journey = new Journey();
  const watch = (server, now) => journey.answered({ method: 'Watch', ok: true, server }, now);
  const push = (server, now) => journey.answered({ method: 'PushPullChanges', ok: true, server }, now);

  assert.equal(push('yorkie-1', 0), undefined);
  assert.equal(sentence(watch('yorkie-1', 1)), 'found on yorkie-1');
  assert.equal(push('yorkie-3', 5000), undefined, 'the stream has not moved yet');
  assert.equal(journey.server, 'yorkie-3');
  journey.watchEnded(5100);
  assert.equal(journey.isWatching, false);
  assert.equal(
    sentence(watch('yorkie-3', 6123)).replace('\u00a0', ' '),
    'moved from yorkie-1 to yorkie-3: the watch stream was ended and came back after 1.0 s',
  );
  assert.equal(journey.isWatching, true);
  assert.match(sentence(watch('yorkie-3', 7000)), /^still on yorkie-3: /);
});

test('what a router refuses tells nothing of a server', () => {
  const journey = new Journey();
  assert.equal(journey.answered({ method: 'Watch', ok: false, server: undefined }, 0), undefined);
  assert.equal(journey.answered({ method: 'Watch', ok: false, server: 'yorkie-1' }, 0), undefined);
  assert.equal(journey.isWatching, false);
});
