// Runs activities that a definition declares as foreign: node activity_consumer.js QUEUE TABLE
//
// QUEUE is what the activities declare as their queue; TABLE is a file of this consumer's own, in which it remembers
// what it has answered. Write your activities into ACTIVITIES below.
//
// The order is what makes it safe to kill: run, remember the answer on the disk, send it until the broker confirms,
// acknowledge the command. Whatever is cut off in between, the command is delivered again; if its answer is remembered
// it is only sent again, else the activity runs again. So an activity must be pure, or do its effect under the
// `idempotency_key`, which is the same for every attempt of its step.
'use strict';

const { hostname } = require('node:os');
const { Answered } = require('./answered');
const { ending, serve } = require('./broker');

const AT_ONCE = Number(process.env.AT_ONCE || 8);
const COMMAND = 'handrail.step.run.v1';
const WORKER = `${hostname()}-${process.pid}`;

/** A failure that says what it means for the next attempt: transient, permanent, rate_limited … */
class Failed extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const ACTIVITIES = {
  /** Counts the words of a text: { text } becomes { words }. */
  async word_count({ text }) {
    if (typeof text !== 'string') throw new Failed('invalid', 'the input has no text');
    return { words: text.split(/\s+/u).filter(Boolean).length };
  },
};

/** The outcome of one command: what is sent to handrail.outcomes. */
async function outcomeOf(command) {
  const startedAt = new Date().toISOString();
  const outcome = { message_id: command.message_id, status: 'ok', worker: WORKER, started_at: startedAt };
  try {
    const activity = Object.hasOwn(ACTIVITIES, command.activity) ? ACTIVITIES[command.activity] : undefined;
    if (!activity) throw new Failed('permanent', `this consumer has no activity ${JSON.stringify(command.activity)}`);
    outcome.output = await activity(command.input, { key: command.idempotency_key, attempt: command.attempt });
  } catch (error) {
    outcome.status = 'failed';
    outcome.failure = { kind: error.kind || 'bug', type: error.name, message: String(error.message).slice(0, 2000) };
  }
  outcome.finished_at = new Date().toISOString();
  return JSON.stringify(outcome);
}

/** The command in a delivery, or undefined where there is none. */
function read(message) {
  try {
    const command = JSON.parse(message.content.toString('utf8'));
    return message.properties.type === COMMAND && command.message_id === message.properties.messageId ? command : undefined;
  } catch {
    return undefined;
  }
}

class Consumer {
  constructor(queue, answered) {
    this.queue = queue;
    this.answered = answered;
    this.running = new Map();
    this.taken = new Set();
  }

  /** Serves the queue until the process is told to end, through every disconnection; throws where it is refused. */
  serve(asked) {
    return serve({ prefetch: AT_ONCE, asked, begin: (broker) => this.begin(broker), finish: (broker) => this.finish(broker) });
  }

  async begin(broker) {
    const { consumerTag } = await broker.channel.consume(`handrail.activity.${this.queue}`, (message) => {
      if (message === null) broker.close(); // the queue has gone
      else this.take(broker, message);
    });
    this.consumerTag = consumerTag;
    process.stderr.write(`serving ${this.queue}\n`);
  }

  /** Takes nothing new, and answers what is under way. */
  async finish(broker) {
    await broker.channel.cancel(this.consumerTag).catch(() => {});
    await Promise.allSettled(this.taken);
  }

  /** Takes one delivery to its end; one that cannot be brought to it stays with the broker, and comes again. */
  take(broker, message) {
    const taken = this.settle(broker, message)
      .catch((error) => {
        process.stderr.write(`a command is not answered yet: ${error.message}\n`);
        broker.close();
      })
      .finally(() => this.taken.delete(taken));
    this.taken.add(taken);
  }

  async settle({ channel, publish }, message) {
    const command = read(message);
    if (!command) {
      channel.nack(message, false, false); // to the dead queue
      return;
    }
    if (!this.answered.get(command.message_id) && Date.parse(command.expires_at) < Date.now()) {
      channel.ack(message); // nobody waits for it any more
      return;
    }
    const body = await this.answer(command);
    await publish('handrail.outcomes', 'outcome', 'handrail.outcome.record.v1', body, {
      messageId: `${command.message_id}/outcome`,
      correlationId: command.workflow_id,
    });
    channel.ack(message);
  }

  /** The answer to a command: remembered, under way, or made now. */
  answer(command) {
    const known = this.answered.get(command.message_id);
    if (known !== undefined) return Promise.resolve(known);
    const underWay = this.running.get(command.message_id);
    if (underWay) return underWay;
    const made = outcomeOf(command)
      .then((body) => {
        this.answered.put(command.message_id, body);
        return body;
      })
      .finally(() => this.running.delete(command.message_id));
    this.running.set(command.message_id, made);
    return made;
  }
}

async function main([queue, table]) {
  if (!queue || !table) throw new Error('usage: node activity_consumer.js QUEUE TABLE');
  const answered = new Answered(table);
  try {
    await new Consumer(queue, answered).serve(ending());
  } finally {
    answered.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
