// Prints what people have to decide: node approval_listener.js QUEUE
//
// QUEUE is bound to handrail.events with the key approval.requested.# (an administrator declares it). Each request is
// one line of JSON on stdout, acknowledged once it is written. A request may come more than once: the message id tells.
'use strict';

const { open, pause } = require('./broker');

const REMEMBERED = 10_000;
const seen = new Set();
let attempt = 0;
let ending = false;
let current;

async function print(message) {
  const { messageId, type } = message.properties;
  if (type !== 'handrail.approval.requested.v1' || seen.has(messageId)) return undefined;
  seen.add(messageId);
  if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
  const line = JSON.stringify(JSON.parse(message.content.toString('utf8')));
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => {
      if (error) {
        seen.delete(messageId);
        reject(error);
      } else {
        resolve();
      }
    });
  });
}

async function listen(queue) {
  let broken;
  const gone = new Promise((resolve) => { broken = resolve; });
  const broker = await open({ prefetch: 50, lost: broken });
  current = broker;
  await broker.channel.consume(queue, (message) => {
    if (message === null) {
      broker.connection.close().catch(() => {});
      return;
    }
    print(message).then(
      () => broker.channel.ack(message),
      (error) => {
        process.stderr.write(`${error.message}\n`);
        broker.channel.nack(message, false, false);
      },
    ).catch(() => {}); // the channel has gone: the message comes again
  });
  attempt = 0;
  process.stderr.write(`listening to ${queue}\n`);
  return gone;
}

async function main([queue]) {
  if (!queue) throw new Error('usage: node approval_listener.js QUEUE');
  process.on('SIGTERM', () => {
    ending = true;
    if (current) current.connection.close().catch(() => {});
  });
  while (!ending) {
    const error = await listen(queue).catch((caught) => caught);
    if (ending) return;
    attempt += 1;
    process.stderr.write(`not connected (${error.message}): trying again\n`);
    await pause(attempt);
  }
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
