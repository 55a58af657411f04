"""From what the user named on the command line to the frozen plan of a run: every input once, with its id
and shard.

Nothing here opens a picture (that is `annotator.media`), or knows how a plan lies on disk (`annotator.store`)
or how a run works it off (`annotator.runtime`).
"""
