// Reads an AsyncAPI document from stdin; prints what the parser has to say about it as JSON.
'use strict';

const { Parser } = require('@asyncapi/parser');

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { document, diagnostics } = await new Parser().parse(Buffer.concat(chunks).toString('utf8'));
  const said = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path: path.join('/') }));
  const channels = document ? document.channels().all().map((channel) => channel.id()) : [];
  process.stdout.write(JSON.stringify({ valid: document !== undefined, diagnostics: said, channels }));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
