// One client of the real SDK on one document.

import {
  Client, ClientCondition, Counter, CounterType, Document, DocSyncStatus, LogLevel, OpSource, StreamConnectionStatus,
  SyncMode, Text, setLogLevel,
} from './yorkie-js-sdk.es.js';

setLogLevel(LogLevel.Error);

// On leaving, the SDK deactivates its client, and the server that is asked has the client detached from its documents:
// Yorkie's through the router, the demo's by itself, owner or not. So a page detaches at the owner instead.
addEventListener('beforeunload', (event) => event.stopImmediatePropagation());

/** Letters and digits that nobody else has. */
export function unique(length) {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  return Array.from(bytes, (byte) => (byte % 36).toString(36)).join('');
}

/** The `x-shard-key` of a document without an API key. */
export const shardKey = (key) => `/${key}`;

export class Session {
  #client;
  #document;

  /** `on` has the functions `changed` (by others), `synced`, `people`, `watchEnded` and `refused`. */
  constructor(key, on) {
    this.#client = new Client({ rpcAddr: location.origin, key: `page-${unique(12)}` });
    this.#document = new Document(key);
    this.on = on;
  }

  /** Attaches the document as that person `{ name, color }`. */
  async join(person) {
    await this.#client.activate();
    this.#listen();
    await this.#client.attach(this.#document, { initialPresence: person });
    // Two who make a sheet at the very same moment would each make a text, and one of the two counts.
    if (!this.#root.text) {
      this.#document.update((root) => {
        root.text = new Text();
        root.edits = new Counter(CounterType.Int, 0);
        root.made = {};
      });
      await this.#client.sync(this.#document);
    }
  }

  get #root() {
    return this.#document.getRoot();
  }

  get text() {
    return this.#root.text?.toString() ?? '';
  }

  /** Whether the server has everything that was written here. */
  get isSent() {
    return !this.#document.hasLocalChanges();
  }

  /**
   * How many edits the document has, and how many those who wrote say that they made. Every edit counts itself and
   * says which of its author's it is, so one that is lost, or applied twice, shows as soon as its author writes again.
   */
  get edits() {
    const { edits, made } = this.#root;
    const numbers = Object.values(made?.toJS?.() ?? {});
    return { here: edits?.getValue() ?? 0, made: numbers.reduce((sum, number) => sum + number, 0) };
  }

  /** As whom this client edits, and how many edits it has made. */
  get own() {
    const author = this.#client.getKey();
    return { author, made: this.madeBy(author) };
  }

  /** How many edits of that author have come. */
  madeBy(author) {
    return this.#root.made?.[author] ?? 0;
  }

  /** Edits the text, and tells the others where the caret is then. */
  edit({ from, to, insert }, selection) {
    const { author, made } = this.own;
    this.#document.update((root, presence) => {
      root.text.edit(from, to, insert);
      root.edits.increase(1);
      root.made[author] = made + 1;
      presence.set({ selection: root.text.indexRangeToPosRange(selection) });
    });
  }

  /** Tells the others what is selected. */
  select(selection) {
    this.#document.update((root, presence) => {
      presence.set({ selection: root.text.indexRangeToPosRange(selection) });
    });
  }

  /** Tells the others who this is. */
  present({ name, color }) {
    this.#document.update((_, presence) => presence.set({ name, color }));
  }

  /** The others: `{ id, name, color, caret }`, a caret being a position in the text. */
  get others() {
    return this.#document.getOthersPresences().map(({ clientID, presence }) => ({
      id: clientID, name: presence.name, color: presence.color, caret: this.#caret(presence.selection),
    }));
  }

  #caret(selection) {
    try {
      return selection && this.#root.text.posRangeToIndexRange(selection)[1];
    } catch {
      // It is in a text that another one has replaced.
      return undefined;
    }
  }

  /** Detaches; the page may be gone before the answer comes. */
  leave() {
    return this.#client.detach(this.#document).catch(() => {});
  }

  /** Sends nothing any more, not even that it goes: that would send again what has been refused. */
  abandon() {
    return this.#client.changeSyncMode(this.#document, SyncMode.Manual).catch(() => {});
  }

  #listen() {
    const { on } = this;
    this.#document.subscribe(({ source }) => source === OpSource.Remote && on.changed());
    // When the stream ends, the SDK first forgets the others and then tells that it has ended.
    this.#document.subscribe('presence', () => queueMicrotask(on.people));
    this.#document.subscribe('sync', ({ value }) => {
      if (value === DocSyncStatus.Synced) on.synced();
      else this.#lookWhetherItGoesOn();
    });
    this.#document.subscribe('connection', ({ value }) => {
      if (value !== StreamConnectionStatus.Disconnected) return;
      on.watchEnded();
      this.#lookWhetherItGoesOn();
    });
  }

  /** The SDK tries again after some errors and after others never: it decides right after it tells of one. */
  #lookWhetherItGoesOn() {
    setTimeout(() => {
      const goesOn = [ClientCondition.SyncLoop, ClientCondition.WatchLoop].every((loop) => this.#client.getCondition(loop));
      if (!goesOn) this.on.refused();
    });
  }
}
