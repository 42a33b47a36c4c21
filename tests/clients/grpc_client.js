// What grpc_client.py is, with gRPC's own implementation for Node.js:
//
//     node grpc_client.js TARGET
//
// Reads a call a line from standard input, {"path", "metadata", "message"}, and
// prints a reply a line, {"code", "details", "initial", "trailing", "message"}.
// Messages are bytes in base64. It knows no streams.
'use strict';

const readline = require('node:readline');
const grpc = require('@grpc/grpc-js');
const xds = require('@grpc/grpc-js-xds');

const LIMIT_MS = 20_000; // for a call

xds.register();

const bytes = (message) => message;
const pairs = (metadata) =>
  Object.fromEntries(Object.entries(metadata?.getMap() ?? {}).filter(([, value]) => typeof value === 'string'));

function unary(client, { path, metadata, message }) {
  return new Promise((resolve) => {
    const sent = new grpc.Metadata();
    metadata.forEach(([name, value]) => sent.add(name, value));
    const options = { deadline: Date.now() + LIMIT_MS };
    let initial;
    let answer;
    const call = client.makeUnaryRequest(path, bytes, bytes, Buffer.from(message, 'base64'), sent, options, (_, value) => {
      answer = value;
    });
    call.on('metadata', (metadata) => {
      initial = metadata;
    });
    call.on('status', ({ code, details, metadata }) =>
      // The answer may be handed over after this.
      setImmediate(() =>
        resolve({
          code: grpc.status[code],
          details,
          initial: pairs(initial),
          trailing: pairs(metadata),
          message: answer === undefined ? null : answer.toString('base64'),
        }),
      ),
    );
  });
}

async function main() {
  const client = new grpc.Client(process.argv[2], grpc.credentials.createInsecure());
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await unary(client, JSON.parse(line)))}\n`);
  }
  client.close();
  process.exit(0);
}

main();
