"""Bytes to pixels: upright RGB pictures within limits, decoded ahead of whoever consumes them.

Which inputs there are is for `annotator.sources`, what is in a picture for `annotator.models`.
"""
