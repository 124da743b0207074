// Says what a person decided: node approval_sender.js approve|reject PERSON [REASON] [CONTROL …] < REQUEST
//
// REQUEST is one line that approval_listener.js printed. The decision quotes its approval, its round and its digest: if
// the action is no longer what the person was shown, it is refused, and the refusal is recorded. Your login needs the
// right to speak for persons in that definition (setting `vouching`); without it the decision ends in the dead queue,
// which a sender cannot see. Prints the message id: the broker has it then, and no more than that is known here.
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { sendUntilConfirmed } = require('./broker');

/** A definition's name as one word of a routing key; very long names end in a digest. */
function routingWord(definition) {
  const word = (definition.toLowerCase().match(/[\p{L}\p{N}]+/gu) || []).join('-');
  if (Buffer.byteLength(word) <= 120) return word;
  const digest = createHash('sha256').update(word, 'utf8').digest('hex').slice(0, 12);
  const kept = Buffer.from(word).subarray(0, 107).toString('utf8').replace(/\ufffd+$/u, '');
  return `${kept}-${digest}`;
}

async function main([decision, person, reason = '', ...controls]) {
  if (!['approve', 'reject'].includes(decision) || !person) {
    throw new Error('usage: node approval_sender.js approve|reject PERSON [REASON] [CONTROL …] < REQUEST');
  }
  const asked = JSON.parse(readFileSync(0, 'utf8'));
  const body = {
    workflow_id: asked.workflow_id,
    approval_id: asked.approval_id,
    round: asked.round,
    digest: asked.digest,
    decision,
    decided_by: person,
    reason,
    controls,
  };
  const text = JSON.stringify(body);
  // The same decision has the same id: whoever is not sure that it was sent sends it again.
  const messageId = `decision-${createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 32)}`;
  await sendUntilConfirmed(
    'handrail.approvals',
    `approval.${routingWord(asked.definition)}`,
    'handrail.approval.decide.v1',
    text,
    { messageId, correlationId: asked.workflow_id },
  );
  process.stdout.write(`${messageId}\n`);
  process.stderr.write(
    `the broker has it; whether it counts is told by \`handrail show ${asked.workflow_id}\`, and if it was refused `
    + `(a login that may not speak for persons there, say) by \`handrail dead show ${messageId}\`\n`,
  );
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
