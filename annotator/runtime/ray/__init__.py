"""The executor on Ray: its session, its actors, its counters. The only place that imports Ray.

What is to be done when something breaks is decided in `runtime.scheduling`, which knows no Ray.
"""
