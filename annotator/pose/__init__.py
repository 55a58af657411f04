"""Arithmetic on arrays: boxes, crops, decoding of network outputs, flip test, OKS and NMS.

No files, no networks, no configuration files: those belong in `annotator.sources`, `annotator.models` and
`annotator.config`.
"""
