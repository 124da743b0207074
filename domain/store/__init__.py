"""The one impure corner of the domain: the event store with its inbox, behind one door."""
