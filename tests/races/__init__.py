"""The races that may befall a deployment: which test holds each, and the guard whose removal turns that test red.

The table is `guards.GUARDS`. `python -m tests.races.run [words]` copies the tree, takes each guard out of the copy, one
at a time, and runs its test there: a test that stays green holds nothing. It takes some minutes; `make test` only looks
whether every guard and every test of the table are there.
"""
