// One connection to RabbitMQ for these examples: every message confirmed, and none lost without a word.
'use strict';

const { createHash } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const amqp = require('amqplib');

const ANSWER_MILLISECONDS = 10_000;
const CLOSE_MILLISECONDS = 5_000;
const SETTLED_MILLISECONDS = 5_000;

/** Where the broker is, from AMQP_URL: amqp://login:password@host:port/vhost, or amqps://. */
function brokerUrl() {
  const url = process.env.AMQP_URL;
  if (!url) throw new Error('set AMQP_URL to amqp://login:password@host:port/vhost');
  return url;
}

/** The login that the broker vouches for: what `user_id` has to be. */
function loginOf(url) {
  return decodeURIComponent(new URL(url).username) || 'guest';
}

/** The id of the workflow that a goal starts: anybody may derive it, so nobody need wait for an answer. */
function workflowIdOf(login, messageId) {
  const digest = createHash('sha256').update(['goal', login, messageId].join('\x1f'), 'utf8').digest();
  const letters = 'abcdefghijklmnopqrstuvwxyz234567';
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let id = 'wf_';
  for (let at = 0; at < 26 * 5; at += 5) id += letters[parseInt(bits.slice(at, at + 5), 2)];
  return id;
}

/** Connects; `lost` is told once when the connection has gone, however that came. */
async function open({ prefetch = 0, lost = () => {} } = {}) {
  const url = brokerUrl();
  const login = loginOf(url);
  const connection = await amqp.connect(url, {
    heartbeat: 15,
    timeout: ANSWER_MILLISECONDS,
    clientProperties: { connection_name: process.argv[1] },
  });
  const returned = new Set();
  let why;
  const tell = (error) => {
    if (!why) {
      why = error || new Error('the connection was closed');
      lost(why);
    }
  };
  connection.on('error', tell);
  connection.on('close', tell);

  /** Closes politely, and after a few seconds in any case: a connection that is left open keeps the program alive. */
  async function close() {
    let late;
    const limit = new Promise((resolve) => { late = setTimeout(resolve, CLOSE_MILLISECONDS); });
    await Promise.race([connection.close().catch(() => {}), limit]);
    clearTimeout(late);
    connection.connection.stream.destroy();
  }

  let channel;
  try {
    channel = await connection.createConfirmChannel();
    if (prefetch) await channel.prefetch(prefetch);
  } catch (error) {
    await close();
    throw error;
  }
  channel.on('error', tell);
  channel.on('close', tell);
  // The broker returns what no queue takes, before it confirms it: without looking here, that would pass for success.
  channel.on('return', (message) => returned.add(message.properties.messageId));

  function publish(exchange, routingKey, type, body, { messageId, correlationId }) {
    const options = {
      messageId,
      type,
      correlationId,
      userId: login,
      appId: 'handrail-example',
      contentType: 'application/json',
      persistent: true,
      mandatory: true,
      timestamp: Math.floor(Date.now() / 1000),
    };
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error('the broker did not answer in time')), ANSWER_MILLISECONDS);
      const answered = (error) => {
        clearTimeout(limit);
        if (error) reject(why || error); // what closed the channel says more than that it is closed
        else if (returned.delete(messageId)) reject(new Error(`no queue takes ${routingKey} of ${exchange}`));
        else resolve();
      };
      try {
        channel.publish(exchange, routingKey, Buffer.from(body), options, answered);
      } catch (error) {
        answered(error);
      }
    });
  }

  return { channel, login, publish, close };
}

/** Whether the broker refuses (login, right, queue, virtual host): that stays until a person changes something. */
function refused(error) {
  return [403, 404, 530].includes(error.code) || /(?:^|\s)(?:403|404|530) \(/u.test(error.message);
}

/** The same error, with what to do about it. */
function explained(error) {
  return new Error(
    `the broker refuses: ${error.message}. Trying again is useless before somebody has changed that: see the login, the `
    + 'password and the virtual host in AMQP_URL, the name of the queue, and the rights (`handrail topology check`)',
  );
}

/** Told to end: aborted by SIGTERM and SIGINT; a second signal ends the process at once. */
function ending() {
  const asked = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => asked.abort());
  return asked.signal;
}

/**
 * Serves over one connection after the other until `asked` is aborted: `begin` for each, `finish` before the last is
 * closed. Every connection is closed before the next is opened. Throws where the broker refuses.
 */
async function serve({ prefetch, asked, begin, finish = async () => {} }) {
  const told = new Promise((resolve) => { asked.addEventListener('abort', () => resolve(), { once: true }); });
  for (let attempt = 1; !asked.aborted; attempt += 1) {
    const began = Date.now();
    let broker;
    try {
      let broken;
      const gone = new Promise((resolve) => { broken = resolve; });
      broker = await open({ prefetch, lost: broken });
      await begin(broker);
      const error = await Promise.race([gone, told]);
      if (error) throw error;
      await finish(broker);
    } catch (error) {
      if (asked.aborted) return;
      if (refused(error)) throw explained(error);
      process.stderr.write(`not connected (${error.message}): trying again\n`);
    } finally {
      if (broker) await broker.close();
    }
    if (Date.now() - began > SETTLED_MILLISECONDS) attempt = 0;
    if (!asked.aborted) await pause(attempt, asked);
  }
}

/** Sends one message, and again after every failure, under the same message id: a repeat does no harm. */
async function sendUntilConfirmed(exchange, routingKey, type, body, properties, { seconds = 60 } = {}) {
  const end = Date.now() + seconds * 1000;
  for (let attempt = 1; ; attempt += 1) {
    let broker;
    try {
      broker = await open();
      await broker.publish(exchange, routingKey, type, body, properties);
      return broker.login;
    } catch (error) {
      if (refused(error)) throw explained(error);
      if (Date.now() > end) throw error;
      process.stderr.write(`not confirmed (${error.message}): sending it again\n`);
      await pause(attempt);
    } finally {
      if (broker) await broker.close();
    }
  }
}

/** Waits before the next attempt: longer each time, up to 10 s, and never all clients at once; `asked` ends it. */
function pause(attempt, asked) {
  const longest = Math.min(10_000, 100 * 2 ** Math.min(attempt, 10));
  return sleep(Math.random() * longest, undefined, { signal: asked }).catch(() => {}); // told to end
}

module.exports = { brokerUrl, ending, loginOf, sendUntilConfirmed, serve, workflowIdOf };
