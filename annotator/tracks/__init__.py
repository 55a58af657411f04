"""People followed through a film, and their joints smoothed: arithmetic, and the pass that writes tracks.

No pixels and no models: what is known of a person are boxes, joints and their scores. Predictions are never
changed here; identity is added to them, smoothed joints stand beside them.
"""
