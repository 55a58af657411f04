"""Who works on which shard, who is to blame, and when to give up: decisions without processes or clocks.

Carrying them out belongs to the executors.
"""
