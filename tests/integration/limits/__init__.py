"""Limits over all processes, on whole stores: a service that is down, and claimants that contend."""
