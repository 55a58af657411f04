"""pose-annotator: human pose annotations for image and video collections, at scale and on the record."""

__version__ = "0.1.0"
