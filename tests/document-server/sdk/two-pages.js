'use strict';
// Two people in a real browser write on one sheet of the sample page while it moves to another server.
//
//   node two-pages.js --url http://.../demo/ --chromium PATH --screenshots DIR
//     [--document KEY]     which sheet (default: one that the page makes up)
//     [--timeout MS]       how long to wait for anything (default: 20000)
//
// Prints JSON lines. After `"event":"together"` both have seen what the other wrote; from then on they write until both
// pages tell of a move, which whoever started this has to bring about. Then each page is refused once, as by a server
// with an old memory, and has to join again. The last line has `"event":"result"`, with what the pages showed after the
// move. Ends with 0 when both pages always had every character once and in its place, and nothing was wrong in the
// browser, else with 1. Leaves `desktop.png` and `phone.png` in the folder for screenshots, unless a page did not open.

const path = require('node:path');
const { parseArgs } = require('node:util');
const { chromium } = require('playwright-core');

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    chromium: { type: 'string' },
    screenshots: { type: 'string' },
    document: { type: 'string' },
    timeout: { type: 'string', default: '20000' },
  },
});
const timeout = Number(options.timeout);

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** What they write until they have seen the move, over and over. */
const ONE_GOES_ON = ' And while one writes, the sheet is carried to another desk.';
const TWO_GOES_ON = ' Nobody has to stop for that, nor to write a word again.';
/** Between two characters, in milliseconds. */
const PAUSE = 30;

const started = performance.now();
const print = (event, facts) =>
  console.log(JSON.stringify({ event, ms: Math.round(performance.now() - started), ...facts }));

/** A page, what was written on it, and what went wrong in it. */
class Writer {
  written = '';
  problems = [];
  /** While this page is being refused. */
  isRefused = false;

  static async open(browser, device, address) {
    const writer = new Writer();
    const context = await browser.newContext(device);
    context.setDefaultTimeout(timeout);
    writer.page = await context.newPage();
    writer.page.on('pageerror', (error) => writer.problems.push(String(error.stack ?? error)));
    writer.page.on('console', (message) => {
      if (message.type() === 'error' && !isEndOfWatch(message) && !writer.isRefused) {
        writer.problems.push(`${message.text()} (${message.location().url})`);
      }
    });
    writer.page.on('request', (request) => {
      // A detach brings all that is not acknowledged, and a server may have stored that already.
      const sentAgain = writer.isRefused && request.url().endsWith('/DetachDocument');
      if (sentAgain) writer.problems.push('what was refused was sent again');
    });
    await writer.page.goto(address);
    await writer.page.locator('#server[data-state=connected]').waitFor();
    await writer.page.locator('#text:read-write').waitFor();
    await writer.page.locator('#text').focus();
    return writer;
  }

  async write(text) {
    for (const character of text) {
      await this.page.keyboard.insertText(character);
      this.written += character;
      await this.page.waitForTimeout(PAUSE);
    }
  }

  /**
   * Writes something that is refused: before or after it has been stored. What the browser then says of it is no
   * problem of the page.
   */
  async writeRefused(text, { isStored }) {
    this.isRefused = true;
    await this.page.route('**/PushPullChanges', async (route) => {
      const headers = { 'x-served-by': 'yorkie-x' };
      if (isStored) await route.fetch();
      await route.fulfill({ status: 400, headers, json: { code: 'failed_precondition', message: 'refused by the test' } });
    }, { times: 1 });
    await this.write(text);
    await this.page.locator('#history [data-kind=refusal]').waitFor();
    await this.page.locator('#text:read-write').waitFor();
    this.isRefused = false;
  }

  /** Waits until the sheet has that text. */
  async shows(text) {
    await this.page.waitForFunction((expected) => document.getElementById('text').value === expected, text);
  }

  /** The newest move that the page tells of, once it knows whether edits were lost. */
  get move() {
    return this.page.locator('#history [data-kind=move]', { has: this.page.locator('b:not(:empty)') }).first();
  }

  get facts() {
    return this.page.evaluate(() => ({
      server: document.getElementById('server-name').textContent,
      state: document.getElementById('server').dataset.state,
      count: document.getElementById('count').textContent,
      history: Array.from(document.querySelectorAll('#history li'), (item) => item.textContent),
      text: document.getElementById('text').value,
      people: Array.from(document.querySelectorAll('#people li:not(.me)'), (item) => item.textContent),
      carets: Array.from(document.querySelectorAll('#carets span'), (caret) => caret.dataset.name),
      isWiderThanScreen: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    }));
  }
}

/** A browser tells of a stream that was ended before its last chunk, which is how a watch is ended on HTTP/1.1. */
function isEndOfWatch(message) {
  return message.location().url.endsWith('/Watch') && message.text().includes('net::ERR_INCOMPLETE_CHUNKED_ENCODING');
}

/** What both have written. Each has a line, so that it is the same however they took turns. */
const allOf = ([one, two]) => `${one.written}${two.written}`;

const bothShowAll = (writers) => Promise.all(writers.map((writer) => writer.shows(allOf(writers))));

async function writeTogether(writers) {
  const [one, two] = writers;
  await one.write('This sheet lies on one server, whoever writes on it. 😀');
  await two.shows(one.written);
  await two.page.keyboard.press('Control+End');
  await two.write('\nAnd I am here too, on a phone. 😺');
  await bothShowAll(writers);
}

async function writeAcrossAMove(writers) {
  const [one, two] = writers;
  let isOver = false;
  const goOn = async (writer, text) => {
    while (!isOver) await writer.write(text);
  };
  const writing = Promise.all([goOn(one, ONE_GOES_ON), goOn(two, TWO_GOES_ON)]);
  await Promise.race([Promise.all([one.move.waitFor(), two.move.waitFor()]), writing]).finally(() => (isOver = true));
  await writing;
  await Promise.all([one.write(' This is after the move.'), two.write(' And so is this.')]);
  await bothShowAll(writers);
  await Promise.all(writers.map(({ page }) => page.locator('#carets span').waitFor({ state: 'attached' })));
}

async function writeAcrossRefusals(writers) {
  const [one, two] = writers;
  await one.page.locator('#text').evaluate((field, end) => field.setSelectionRange(end, end), one.written.length);
  await one.writeRefused('!', { isStored: false });
  await one.write(' I am still here.');
  await bothShowAll(writers);
  await two.page.keyboard.press('Control+End');
  await two.writeRefused('?', { isStored: true });
  await two.write(' So am I.');
  await bothShowAll(writers);
}

async function screenshots(writers) {
  for (const [index, name] of ['desktop.png', 'phone.png'].entries()) {
    const file = path.join(options.screenshots, name);
    await writers[index]?.page.screenshot({ path: file, fullPage: true, animations: 'disabled' });
  }
}

async function run() {
  const browser = await chromium.launch({ executablePath: options.chromium, args: FLAGS, timeout });
  const writers = [];
  const problems = [];
  const factsOfAll = () => Promise.all(writers.map((writer) => writer.facts));
  let moved;
  try {
    const address = new URL(options.url);
    if (options.document) address.searchParams.set('document', options.document);
    writers.push(await Writer.open(browser, DESKTOP, address.href));
    // The second one is sent the address of the first.
    writers.push(await Writer.open(browser, PHONE, writers[0].page.url()));
    await writeTogether(writers);
    print('together', { pages: await factsOfAll() });
    await writeAcrossAMove(writers);
    moved = { written: allOf(writers), pages: await factsOfAll() };
    await screenshots(writers);
    await writeAcrossRefusals(writers);
  } catch (error) {
    problems.push(String(error.message ?? error));
    if (!moved) await screenshots(writers);
  }
  const pages = await factsOfAll();
  for (const { isWiderThanScreen, count } of pages) {
    if (isWiderThanScreen) problems.push('a page is wider than its screen');
    if (!count.endsWith('edits, none lost')) problems.push(`edits are lost: ${count}`);
  }
  problems.push(...writers.flatMap((writer) => writer.problems));
  await browser.close();
  return { ok: problems.length === 0, problems, moved, pages };
}

if (!options.url || !options.chromium || !options.screenshots) {
  console.error('--url, --chromium and --screenshots are required');
  process.exit(2);
}
run()
  .catch((error) => ({ ok: false, problems: [String(error.stack ?? error)] }))
  .then((result) => {
    print('result', result);
    process.exit(result.ok ? 0 : 1);
  });
