// The page: a text that many write, and who serves it.

import { observeCalls } from './calls.js';
import { applied, difference, inverse, rebased } from './edits.js';
import { Journey, sentence } from './journey.js';
import { Paper } from './paper.js';
import { People, distinct, remember, whoIAm } from './people.js';
import { Session, shardKey, unique } from './session.js';

/** Between attempts to join, and what a refusal must be apart from the last one to be tried again: milliseconds. */
const RETRY = 1000;
const REFUSALS_APART = 10_000;
/** As many events are shown. */
const HISTORY = 50;

const element = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const key = documentKey();
const journey = new Journey();
let me = whoIAm();
let session;
/** The text without what was written here and has not been acknowledged. */
let acknowledged = '';
let refusedAt = -Infinity;
/** Moves after which it is not known yet whether all edits are there. */
const unverified = [];

const people = new People(element('people'), element('me'), (name) => present({ ...me, name }));
const paper = new Paper(element('text'), element('carets'), {
  edited: write,
  selected: (range) => paper.isOpen && session.select(range),
});

observeCalls(shardKey(key), (call) => {
  const stay = journey.answered(call, performance.now());
  if (stay) {
    const item = tell(sentence(stay), stay.from && stay.from !== stay.to ? 'move' : 'stay');
    if (stay.from) unverified.push(item);
  }
  showServer();
});
addEventListener('pagehide', () => session?.leave());
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
element('second').href = location.href;
if (navigator.clipboard) {
  element('copy').hidden = false;
  element('copy').addEventListener('click', async ({ target }) => {
    await navigator.clipboard.writeText(location.href);
    target.textContent = 'Copied';
  });
}
showServer();
await join();

/** The document of the address, which gets one when it has none. */
function documentKey() {
  const address = new URL(location);
  if (!address.searchParams.get('document')) {
    address.searchParams.set('document', `sheet-${unique(6)}`);
    history.replaceState(null, '', address);
  }
  return address.searchParams.get('document');
}

/** Joins as a new client, as often as it takes, and writes what the last one wrote and could not send. */
async function join(last) {
  const unsent = difference(acknowledged, paper.text);
  const before = acknowledged;
  let attempt;
  do {
    const next = new Session(key, handlers(() => next === session));
    session = next;
    showServer('joining');
    attempt = await next.join(me).then(() => undefined, (error) => error);
    if (attempt) {
      next.abandon();
      showServer('joining', `cannot join: ${attempt.message}`);
      await pause(RETRY);
    }
  } while (attempt);
  acknowledged = session.text;
  // A server may have stored what it then refused.
  if (unsent && session.madeBy(last.author) < last.made) {
    const others = difference(before, acknowledged);
    const edit = others ? rebased(unsent, others) : unsent;
    const end = edit.from + edit.insert.length;
    session.edit(edit, [end, end]);
  }
  paper.isOpen = true;
  present(distinct(me, session.others));
  showServer();
}

/** What a session's events do, as long as it is the one in use. */
function handlers(isInUse) {
  // While it joins, the text comes change by change, and whatever fails is tried again.
  const joined = (act) => () => isInUse() && paper.isOpen && act();
  return {
    changed: joined(() => {
      const [shown, text] = [paper.text, session.text];
      const unsent = difference(acknowledged, shown);
      const theirs = difference(shown, text);
      if (theirs) acknowledged = applied(acknowledged, unsent ? rebased(theirs, inverse(acknowledged, unsent)) : theirs);
      show();
    }),
    synced: joined(() => {
      if (!session.isSent) return;
      acknowledged = session.text;
      unverified.splice(0).forEach(judge);
      show();
    }),
    people: joined(show),
    refused: joined(refused),
    watchEnded() {
      if (!isInUse()) return;
      journey.watchEnded(performance.now());
      showServer();
    },
  };
}

/** A server that the document has moved to may remember this client from before, and refuse what does not fit that. */
async function refused() {
  const last = session.own;
  session.abandon();
  session = undefined;
  paper.isOpen = false;
  journey.watchEnded(performance.now());
  const isFirst = performance.now() - refusedAt > REFUSALS_APART;
  refusedAt = performance.now();
  tell(`${journey.server} refused this page, which it remembers from before`, 'refusal');
  const joinAgain = () => join(last);
  element('again').onclick = joinAgain;
  if (isFirst) await joinAgain();
  else showServer('stopped');
}

/** Writes an edit of this page's own, if any, and shows what the text is then. */
function write(edit, selection) {
  if (edit) session.edit(edit, selection);
  show();
}

function present(person) {
  me = person;
  remember(me);
  if (paper.isOpen) session.present(me);
  show();
}

function show() {
  if (!paper.isOpen) return;
  paper.show(session.text);
  const { here, made } = session.edits;
  element('count').textContent = here || made ? `${made} ${made === 1 ? 'edit' : 'edits'}, ${verdict('none')}` : '';
  element('count').classList.toggle('bad', here !== made);
  // While the stream is away nobody is known to be there; they are not gone for that, but their carets move.
  if (journey.isWatching) people.show(me, session.others);
  paper.draw(journey.isWatching ? session.others : []);
}

/** What the document's own count says, with that word for no edits. */
function verdict(none) {
  const { here, made } = session.edits;
  if (here === made) return `${none} lost`;
  return here < made ? `${made - here} lost` : `${here - made} applied twice`;
}

/** Adds to a move what became of the edits. */
function judge(item) {
  const { here, made } = session.edits;
  const words = item.querySelector('b');
  words.before(', ');
  words.textContent = verdict('no edit');
  words.classList.toggle('bad', here !== made);
}

function showServer(state = journey.isWatching ? 'connected' : 'away', words = undefined) {
  const WORDS = { joining: 'joining', connected: 'connected', away: 'stream ended, coming back', stopped: 'stopped' };
  const server = journey.server ?? '…';
  element('server').dataset.state = state;
  element('state').textContent = words ?? WORDS[state];
  element('again').hidden = state !== 'stopped';
  for (const id of ['server-name', 'way-end']) {
    if (element(id).textContent !== server) element(id).textContent = server;
  }
}

/** Adds an event to the history, the newest first; a move's last words come when they are known. */
function tell(text, kind) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString('en-GB');
  item.dataset.kind = kind;
  item.append(time, ' ', text, document.createElement('b'));
  element('history').prepend(item);
  while (element('history').children.length > HISTORY) element('history').lastChild.remove();
  return item;
}
