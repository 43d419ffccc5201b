"""What can be wrong with a photo or a model. Knows neither torch nor Pillow, so that every process may import it."""

from __future__ import annotations


class BadImage(ValueError):
    """The bytes are not a photo that can be classified; the message is a sentence for the photo's owner."""


class ModelError(ValueError):
    """The model or its weights cannot be had; the message says what to do."""
