"""Whatever bad is published to the queues of a whole deployment: it ends with a reason, and what is good goes on."""
