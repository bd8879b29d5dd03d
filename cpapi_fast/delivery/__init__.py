"""Consumers: bounded queues, overflow policies, conflation, callbacks."""
