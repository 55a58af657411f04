"""Review in FiftyOne, and back: a run's rows out to the App; decisions and corrections back as layers.

What a run predicted is never edited here, and nothing outside this room knows FiftyOne.
"""
