"""What a stored history tells of itself: what happened, why, where the time went, and whether it is decided so today.

Pure but for `reading` and `checking`, which read the store and nothing else; nothing here writes. The same history and
the same definitions give the same report, to the byte: no clock is read.
"""
