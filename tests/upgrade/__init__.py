"""A rolling upgrade: what older versions put on the wire and into the store, and processes of two versions at once.

`samples/` holds what a version wrote, and is never written again: every later version reads it (`add.py` adds what is
missing). `make upgrade-test FROM=<revision>` runs the processes of that revision beside these, on one store and broker;
it needs the history of the repository, so `make test` does not. Until the first release a file may be made anew.
"""
