"""Vendor onboarding review: the built-in example that does real work.

A vendor hands in a folder of papers; the review checks them, reserves a number in the vendor register, screens the
names against a watch list, scores the risk, asks a person where the policy says so, and writes the decision down.
See README.md beside this file for the vendors that are shipped and what each of them shows.
"""
