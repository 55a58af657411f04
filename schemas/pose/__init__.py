"""Contracts of pose rows, by major version."""
