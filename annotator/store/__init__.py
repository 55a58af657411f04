"""A run on disk: its plan, the rows' schema, how a shard is committed, how all is read and proved whole.

What the rows say about a person is decided elsewhere (`models`, `quality`, `review`); nothing here knows an
executor.
"""
