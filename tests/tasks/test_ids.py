"""What an id tells, and that nobody can guess one."""

from __future__ import annotations

from tasks.ids import is_id, made_at_s, new_ids, owner_tag, prefix_of, tag_of


def test_a_photo_that_comes_alone_is_its_own_batch() -> None:
    """One id serves for both."""
    made = new_ids("anna", 1, now_s=1_800_000_000.0)
    assert made.photos == (made.batch,)


def test_photos_that_come_together_are_found_by_one_prefix() -> None:
    """One listing tells which of a batch have a result."""
    made = new_ids("anna", 50, now_s=1_800_000_000.0)
    assert {prefix_of(photo) for photo in made.photos} == {prefix_of(made.batch)}
    assert len({made.batch, *made.photos}) == 51


def test_the_newest_come_first_in_the_order_of_ids() -> None:
    """A listing of an owner's results begins with the latest."""
    older, newer = (new_ids("", 1, now_s=at_s).batch for at_s in (1_800_000_000.0, 1_800_000_000.002))
    assert newer < older


def test_an_id_tells_its_owner_and_when_it_was_made() -> None:
    """Whether a caller may see a result is decided without reading it."""
    made = new_ids("anna", 1, now_s=1_800_000_000.123)
    assert tag_of(made.batch) == owner_tag("anna") != owner_tag("bert")
    assert made_at_s(made.batch) == 1_800_000_000.123


def test_what_is_made_is_an_id_and_a_path_is_none() -> None:
    """Ids become keys in S3; nothing else does."""
    assert all(is_id(photo) for photo in new_ids("", 20, now_s=1_800_000_000.0).photos)
    assert not is_id("../" + new_ids("", 1, now_s=0.0).batch)
    assert not is_id(new_ids("", 1, now_s=0.0).batch + "\n")
