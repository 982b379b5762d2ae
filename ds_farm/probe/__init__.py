"""Probing: when, with which request, and what its outcome means; no socket, no clock."""
