// Starts a workflow: node goal_publisher.js MESSAGE_ID GOAL [INPUT]
//
// MESSAGE_ID is yours: an order number, say. Sent again it is a repeat, and starts nothing. INPUT is a JSON object.
// Prints the workflow's id, which follows from your login and the message id.
'use strict';

const { brokerUrl, loginOf, sendUntilConfirmed, workflowIdOf } = require('./broker');

async function main([messageId, goal, input]) {
  if (!messageId || !goal) throw new Error('usage: node goal_publisher.js MESSAGE_ID GOAL [INPUT]');
  const body = { goal };
  if (input) body.input = JSON.parse(input);
  await sendUntilConfirmed('handrail.goals', 'goal', 'handrail.goal.start.v1', JSON.stringify(body), { messageId });
  process.stdout.write(`${workflowIdOf(loginOf(brokerUrl()), messageId)}\n`);
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
