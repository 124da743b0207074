// One connection to RabbitMQ for these examples: every message confirmed, and none lost without a word.
'use strict';

const { createHash } = require('node:crypto');
const amqp = require('amqplib');

const ANSWER_MILLISECONDS = 10_000;

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
  const connection = await amqp.connect(url, { heartbeat: 15, clientProperties: { connection_name: process.argv[1] } });
  const returned = new Set();
  let told = false;
  const tell = (error) => {
    if (!told) {
      told = true;
      lost(error || new Error('the connection was closed'));
    }
  };
  connection.on('error', tell);
  connection.on('close', tell);
  const channel = await connection.createConfirmChannel();
  channel.on('error', tell);
  channel.on('close', tell);
  // The broker returns what no queue takes, before it confirms it: without looking here, that would pass for success.
  channel.on('return', (message) => returned.add(message.properties.messageId));
  if (prefetch) await channel.prefetch(prefetch);

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
        if (error) reject(error);
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

  return { connection, channel, login, publish };
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
      if (Date.now() > end) throw error;
      process.stderr.write(`not confirmed (${error.message}): sending it again\n`);
      await pause(attempt);
    } finally {
      if (broker) await broker.connection.close().catch(() => {});
    }
  }
}

/** Waits before the next attempt: longer each time, up to 10 s, and never all clients at once. */
function pause(attempt) {
  const longest = Math.min(10_000, 100 * 2 ** Math.min(attempt, 10));
  return new Promise((resolve) => setTimeout(resolve, Math.random() * longest));
}

module.exports = { brokerUrl, loginOf, open, pause, sendUntilConfirmed, workflowIdOf };
