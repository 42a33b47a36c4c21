// Who answers the SDK's calls.

/**
 * Reports every answered call about the document of that shard key: its method, whether it went well, and the server,
 * which names itself in a header (the router, when it refuses a call, does not).
 */
export function observeCalls(shardKey, report) {
  const send = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const method = String(input).split('/').pop();
    // A page detaches when it goes, and is gone before the answer comes.
    const keepalive = init?.keepalive || method === 'DetachDocument';
    const response = await send(input, { ...init, keepalive });
    if (new Headers(init?.headers).get('x-shard-key') === shardKey) {
      report({ method, ok: response.ok, server: response.headers.get('x-served-by') ?? undefined });
    }
    return response;
  };
}
