// The consumer's own table of message ids: which commands it has answered, and what it said.
//
// A file of JSON lines that is only ever appended to, each line on the disk before its answer is sent. A process that
// dies in the middle of a line leaves half of one behind: it is cut off, and its command is simply run again.
'use strict';

const { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } = require('node:fs');

class Answered {
  constructor(path) {
    this.answers = new Map();
    this.file = openSync(path, 'a+');
    const bytes = readFileSync(path);
    const whole = bytes.lastIndexOf(0x0a) + 1;
    if (whole < bytes.length) ftruncateSync(this.file, whole);
    for (const line of bytes.subarray(0, whole).toString('utf8').split('\n')) {
      if (line) {
        const { messageId, answer } = JSON.parse(line);
        this.answers.set(messageId, answer);
      }
    }
  }

  /** What was answered to a command, or undefined. */
  get(messageId) {
    return this.answers.get(messageId);
  }

  /** Remembers an answer; it is on the disk when this returns. */
  put(messageId, answer) {
    const line = Buffer.from(`${JSON.stringify({ messageId, answer })}\n`);
    for (let written = 0; written < line.length;) written += writeSync(this.file, line, written);
    fsyncSync(this.file);
    this.answers.set(messageId, answer);
  }

  close() {
    closeSync(this.file);
  }
}

module.exports = { Answered };
