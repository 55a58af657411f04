"""Rows on disk: their schema, how a shard is committed, how a run is read and how it is proved complete.

What the rows say about a person is decided elsewhere (`models`, `quality`, `review`); nothing here knows an
executor.
"""
