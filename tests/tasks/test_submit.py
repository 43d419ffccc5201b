"""Which of the objects under a prefix are photos to classify."""

from __future__ import annotations

from itertools import chain

import pytest

from tasks import ids
from tasks.submit import OTHERS_AT_MOST, photos_among

PHOTOS = [("holiday/1.jpg", 5), ("holiday/2.jpg", 5), ("holiday/3.jpg", 5)]
UPLOADED = [(photo_id, 5) for photo_id in ids.new_ids("", 3, 1.0).photos]
FOLDER = [("holiday/", 0)]


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(PHOTOS, id="photos-alone"),
        pytest.param(FOLDER + PHOTOS, id="folder"),
        pytest.param(UPLOADED + PHOTOS + FOLDER, id="uploaded"),
        pytest.param(chain(PHOTOS, FOLDER * OTHERS_AT_MOST), id="as-much-else-as-is-looked-through"),
    ],
)
def test_what_is_no_photo_of_the_users_own_does_not_count(listed: list[tuple[str, int]]) -> None:
    """As many as may be taken are taken, whatever lies beside them."""
    assert photos_among(listed, at_most=3) == PHOTOS


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        pytest.param(FOLDER + PHOTOS, "More than 2 photos", id="one-photo-too-many"),
        pytest.param(UPLOADED + PHOTOS, "More than 2 photos", id="behind-uploaded-ones"),
        pytest.param(FOLDER * (OTHERS_AT_MOST + 1), "name a longer one", id="too-much-else"),
    ],
)
def test_a_part_is_never_taken_for_all(listed: list[tuple[str, int]], said: str) -> None:
    """More than can be taken, or looked through, is refused in a sentence."""
    with pytest.raises(ValueError, match=said):
        photos_among(listed, at_most=2)
