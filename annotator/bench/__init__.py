"""How fast the line is beside what people would write without it: both on the same photos, in one process.

Timing and comparing belong here; what is timed lives in rooms of its own.
"""
