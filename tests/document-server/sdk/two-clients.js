'use strict';
// Two clients of the real SDK edit one document and tell what they see.
//
//   node two-clients.js --url http://... --document KEY
//     [--url2 http://...]   where the second client goes (default: as the first)
//     [--api-key K]         the project (default: none)
//     [--edits N]           edits by each client (default: 5)
//     [--pause MS]          wait between edits (default: 0)
//     [--concurrent]        both edit at once, instead of one after the other
//     [--steady]            edit one after the other until standard input ends
//     [--newcomers]         meanwhile others come, see all edits, and go
//     [--slow-attach MS]    the answer to every other newcomer's attach is that long on its way (default: 0)
//     [--timeout MS]        how long to wait for an edit to be seen (default: 10000)
//     [--transport connect|grpc-web]
//
// Prints JSON lines; the last one has `"event":"result"`. Ends with 0 when every
// edit was seen by the other client and both documents are equal, else with 1.

const { parseArgs } = require('node:util');
const yorkie = require('@yorkie-js/sdk');

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    url2: { type: 'string' },
    document: { type: 'string' },
    'api-key': { type: 'string', default: '' },
    edits: { type: 'string', default: '5' },
    pause: { type: 'string', default: '0' },
    concurrent: { type: 'boolean', default: false },
    steady: { type: 'boolean', default: false },
    newcomers: { type: 'boolean', default: false },
    'slow-attach': { type: 'string', default: '0' },
    timeout: { type: 'string', default: '10000' },
    transport: { type: 'string', default: 'connect' },
  },
});
const edits = Number(options.edits);
const pause = Number(options.pause);
const timeout = Number(options.timeout);

const started = performance.now();
const print = (event, facts) =>
  console.log(JSON.stringify({ event, ms: Math.round(performance.now() - started), ...facts }));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for a condition; whether it came true in time. */
async function until(condition, limit = timeout) {
  const end = performance.now() + limit;
  while (!condition()) {
    if (performance.now() > end) return false;
    await sleep(10);
  }
  return true;
}

/** How long the answer to the next attach is on its way, in milliseconds. */
let attachTakes = 0;

/** Reports every call: who answered it, and how. */
function reportCalls() {
  const real = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const facts = {
      method: new URL(String(input.url ?? input)).pathname.split('/').pop(),
      shard_key: new Headers(init?.headers).get('x-shard-key'),
    };
    let onItsWay = 0;
    if (facts.method === 'AttachDocument') [onItsWay, attachTakes] = [attachTakes, 0];
    let response;
    try {
      response = await real(input, init);
    } catch (error) {
      if (error.name !== 'AbortError') print('rpc', { ...facts, failed: String(error.cause ?? error) });
      throw error;
    }
    facts.http = response.status;
    facts.served_by = response.headers.get('x-served-by');
    if (!response.ok) {
      const body = await response.clone().json().catch(() => ({}));
      facts.code = body.code;
      facts.message = body.message;
    }
    print('rpc', facts);
    if (onItsWay > 0) await sleep(onItsWay);
    return response;
  };
}

class Participant {
  constructor(name, url) {
    this.name = name;
    this.client = new yorkie.Client({
      rpcAddr: url,
      key: `${options.document}-${name}`,
      apiKey: options['api-key'],
      useGrpcWebTransport: options.transport === 'grpc-web',
    });
    this.document = new yorkie.Document(options.document);
    this.remoteChanges = 0;
    this.disconnects = 0;
    this.peers = new Set();
  }

  /** With `slow`, the answer to its attach is that long on its way. */
  async join(slow = 0) {
    await this.client.activate();
    print('activated', { client: this.name, id: this.client.getID() });
    this.document.subscribe('connection', ({ value }) => {
      if (value === 'disconnected') this.disconnects += 1;
      print('connection', { client: this.name, value });
    });
    this.document.subscribe('sync', ({ value }) => {
      if (value === 'sync-failed') print('sync', { client: this.name, value });
    });
    this.document.subscribe('others', ({ type, value }) => {
      if (type === 'watched') this.peers.add(value.clientID);
      if (type !== 'presence-changed') print('peer', { client: this.name, type, id: value.clientID });
    });
    this.document.subscribe(({ type }) => {
      if (type === 'remote-change') this.remoteChanges += 1;
    });
    if (slow > 0) {
      attachTakes = slow;
      print('attaching', { client: this.name });
    }
    await this.client.attach(this.document, { initialPresence: { name: this.name } });
    print('attached', { client: this.name });
  }

  edit(number) {
    const mark = `${this.name}-${number}`;
    this.document.update((root) => {
      root.text.edit(root.text.length, root.text.length, `${mark} `);
      root.count.increase(1);
      root.marks[mark] = number;
    });
    print('edit', { client: this.name, mark });
    return mark;
  }

  has(mark) {
    return this.document.getRoot().marks?.[mark] !== undefined;
  }

  async sees(mark) {
    const from = performance.now();
    const seen = await until(() => this.has(mark));
    const after = Math.round(performance.now() - from);
    print(seen ? 'seen' : 'lost', { client: this.name, mark, after_ms: after });
    return seen;
  }

  get syncing() {
    return this.client.getCondition(yorkie.ClientCondition.SyncLoop);
  }

  async leave() {
    await this.client.detach(this.document);
    print('detached', { client: this.name });
    await this.client.deactivate({ synchronous: true });
    print('deactivated', { client: this.name });
  }
}

/** Whether whoever started this has seen enough. */
let enough = false;
if (options.steady) {
  process.stdin.on('end', () => (enough = true)).resume();
}

async function editInTurns(one, two, lost) {
  for (let number = 1; options.steady ? !enough : number <= edits; number += 1) {
    for (const [from, to] of [[one, two], [two, one]]) {
      const mark = from.edit(number);
      if (!(await to.sees(mark))) lost.push({ mark, missing_at: to.name });
      await sleep(pause);
    }
  }
}

async function editAtOnce(one, two, lost) {
  const marks = { one: [], two: [] };
  for (let number = 1; number <= edits; number += 1) {
    marks.one.push(one.edit(number));
    marks.two.push(two.edit(number));
    await sleep(pause);
  }
  for (const [from, to] of [[one, two], [two, one]]) {
    for (const mark of marks[from.name]) {
      if (!(await until(() => to.has(mark)))) lost.push({ mark, missing_at: to.name });
    }
  }
}

/** Others join, have to see every edit that was there before, and leave. */
async function receiveNewcomers(one, problems) {
  for (let number = 1; !enough; number += 1) {
    const there = Object.keys(one.document.getRoot().marks.toJS?.() ?? {});
    const visit = async (name) => {
      const newcomer = new Participant(name, options.url);
      await newcomer.join(number % 2 === 0 ? Number(options['slow-attach']) : 0);
      for (const mark of there) {
        if (!(await until(() => newcomer.has(mark)))) problems.push(`${name} never got ${mark}`);
      }
      await newcomer.leave();
    };
    const name = `newcomer-${number}`;
    await visit(name)
      .catch((error) => {
        // For a moment two servers were at work on the document: a person would try again.
        if (!error.message.includes('conflict on update')) throw error;
        print('conflict', { number });
        return visit(`${name}-again`);
      })
      .catch((error) => problems.push(`${name}: ${error.message}`));
    print('newcomer', { number, saw: there.length });
    await sleep(100);
  }
}

async function run() {
  const one = new Participant('one', options.url);
  const two = new Participant('two', options.url2 ?? options.url);
  await one.join();
  one.document.update((root) => {
    root.text ??= new yorkie.Text();
    root.count ??= new yorkie.Counter(yorkie.CounterType?.Int ?? 0, 0);
    root.marks ??= {};
  });
  await one.client.sync(one.document);
  await two.join();

  const problems = [];
  const lost = [];
  if (!(await until(() => two.document.getRoot().marks !== undefined))) {
    problems.push('the second client never got the document');
  } else {
    const met = await until(() => one.peers.has(two.client.getID()));
    if (!met) problems.push('the first client was never told of the second');
    const newcomers = options.newcomers ? receiveNewcomers(one, problems) : undefined;
    await (options.concurrent ? editAtOnce : editInTurns)(one, two, lost);
    await newcomers;
    const equal = await until(
      () => one.document.toSortedJSON() === two.document.toSortedJSON(),
    );
    if (!equal) problems.push('the documents differ');
  }
  for (const participant of [one, two]) {
    if (!participant.syncing) problems.push(`client ${participant.name} stopped syncing`);
  }
  // Each edit counts once: an edit that is applied twice shows here.
  const root = one.document.getRoot();
  const counted = root.count?.getValue();
  const marked = Object.keys(root.marks?.toJS?.() ?? {}).length;
  if (counted !== marked) problems.push(`${marked} edits were made, but ${counted} are counted`);
  const facts = {
    lost,
    edits: marked,
    disconnects: { one: one.disconnects, two: two.disconnects },
    remote_changes: { one: one.remoteChanges, two: two.remoteChanges },
    documents: { one: one.document.toSortedJSON(), two: two.document.toSortedJSON() },
  };
  for (const participant of [one, two]) {
    await participant.leave().catch((error) => {
      problems.push(`client ${participant.name} could not leave: ${error.message}`);
    });
  }
  return { ok: problems.length === 0 && lost.length === 0, problems, ...facts };
}

if (!options.url || !options.document) {
  console.error('--url and --document are required');
  process.exit(2);
}
yorkie.setLogLevel(yorkie.LogLevel.Fatal);
reportCalls();
run()
  .catch((error) => ({ ok: false, problems: [String(error.message ?? error)] }))
  .then((result) => {
    print('result', result);
    // Open streams would keep the process alive.
    process.exit(result.ok ? 0 : 1);
  });
