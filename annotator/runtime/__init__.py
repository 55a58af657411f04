"""Who works on which shard, and what happens when something breaks: the shard worker and the executors that place it.

Only `ray_executor` knows Ray; what a picture or a person is belongs to `media`, `models` and `store`.
"""
