// Prints what people have to decide: node approval_listener.js QUEUE
//
// QUEUE is bound to handrail.events with the key approval.requested.# (an administrator declares it). Each request is
// one line of JSON on stdout, acknowledged once it is written. A request may come more than once: the message id tells.
// Connects again whenever the broker is away; ends where the broker refuses, and on SIGTERM and SIGINT.
'use strict';

const { ending, serve } = require('./broker');

const REMEMBERED = 10_000;
const seen = new Set();

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

async function listen(queue, broker) {
  await broker.channel.consume(queue, (message) => {
    if (message === null) {
      broker.close(); // the queue has gone
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
  process.stderr.write(`listening to ${queue}\n`);
}

async function main([queue]) {
  if (!queue) throw new Error('usage: node approval_listener.js QUEUE');
  await serve({ prefetch: 50, asked: ending(), begin: (broker) => listen(queue, broker) });
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
