"""The names of the bundled model's ten classes, in the order of its outputs."""

EVERYDAY10_LABELS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
