// Which servers a document was on, as the SDK's calls tell.

/** Follows one document. It asks nobody for the time: every event brings its own, in milliseconds. */
export class Journey {
  /** Who answered last. */
  server;
  /** Whether events arrive now. */
  isWatching = false;
  /** Where the watch stream was, the last time it was open. */
  #home;
  #endedAt;

  /** Notes an answered call; returns what is to be told of it, if anything. */
  answered({ method, ok, server }, now) {
    if (!server) return undefined;
    this.server = server;
    if (method !== 'Watch' || !ok) return undefined;
    const [from, away] = [this.#home, this.#endedAt && now - this.#endedAt];
    this.#home = server;
    this.#endedAt = undefined;
    this.isWatching = true;
    return { from, to: server, away };
  }

  /** Notes that the watch stream has ended. */
  watchEnded(now) {
    this.#endedAt ??= now;
    this.isWatching = false;
  }
}

/** What a stay or a move is called in a sentence. */
export function sentence({ from, to, away }) {
  if (!from) return `found on ${to}`;
  const stream = away === undefined ? 'the watch stream was opened anew'
    : `the watch stream was ended and came back after ${(away / 1000).toFixed(1)}\u00a0s`;
  return from === to ? `still on ${to}: ${stream}` : `moved from ${from} to ${to}: ${stream}`;
}
