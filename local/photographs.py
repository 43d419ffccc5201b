"""Real photographs to try the system on: those that scikit-image and scikit-learn ship inside their packages."""

from __future__ import annotations

from importlib.resources import files

SHIPPED = {
    ("skimage", "data"): (
        "astronaut.png",
        "brick.png",
        "camera.png",
        "chelsea.png",
        "clock_motion.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "horse.png",
        "hubble_deep_field.jpg",
        "moon.png",
        "motorcycle_left.png",
        "retina.jpg",
        "rocket.jpg",
    ),
    ("sklearn", "datasets", "images"): ("china.jpg", "flower.jpg"),
}


def photographs() -> dict[str, bytes]:
    """Return the photographs' bytes by file name.

    Raises:
        ModuleNotFoundError: the development dependencies are missing; run `make install`.
    """
    return {
        name: files(package).joinpath(*folders, name).read_bytes()
        for (package, *folders), names in SHIPPED.items()
        for name in names
    }
