"""Who works on which shard, and what happens when something breaks: the worker and its executors.

Only `runtime.ray` knows Ray; what a picture or a person is belongs to `media`, `models` and `store`.
"""
