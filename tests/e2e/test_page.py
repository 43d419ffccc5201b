"""The page in a real browser: what a person does with photos."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, Route, expect

pytestmark = pytest.mark.stack

RESULT_TIMEOUT_MS = 40_000
OpenPage = Callable[..., Page]
# What a browser hands over on a drop: files as the page's own script would get them.
TRANSFER = """files => { const transfer = new DataTransfer();
  for (const [name, data] of files) {
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: 'image/jpeg' }));
  }
  return transfer; }"""


def expect_cards(page: Page, *names: str) -> None:
    """Wait until just these photos are shown, in this order."""
    expect(page.locator(".card:visible .name")).to_have_text(names)


def expect_states(page: Page, **numbers: int) -> None:
    """Wait until so many photos are in each state."""
    for state, number in numbers.items():
        expect(page.locator(f".card[data-state={state}]")).to_have_count(number, timeout=RESULT_TIMEOUT_MS)


def payloads(photos: dict[str, bytes]) -> list[FilePayload]:
    """Return photos as a file chooser would give them."""
    return [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in photos.items()]


def some(thirty: dict[str, bytes], number: int) -> dict[str, bytes]:
    """Return the first few of the photographs."""
    return dict(list(thirty.items())[:number])


def lose(route: Route) -> None:
    """Lose a request, as a broken network does."""
    route.abort()


def is_document(route: Route) -> bool:
    """Tell whether the browser asks for a page, not its script for data."""
    return route.request.resource_type == "document"


def test_thirty_dropped_photos_get_their_labels_live_and_a_reload_shows_them_again(
    open_page: OpenPage, thirty: dict[str, bytes]
) -> None:
    """Thumbnails at once, both progress bars, labels as they come, an address of its own that survives a reload."""
    page = open_page()
    with page.expect_request("**/batches/*/events", timeout=RESULT_TIMEOUT_MS):
        dropped = page.evaluate_handle(
            TRANSFER, [[name, base64.b64encode(data).decode()] for name, data in thirty.items()]
        )
        page.dispatch_event("#form", "drop", {"dataTransfer": dropped})
        expect(page.locator(".card")).to_have_count(30, timeout=2000)
        assert page.locator(".card img").first.evaluate("image => image.src").startswith("blob:")
    expect_states(page, SUCCESS=30)
    expect(page.locator("#counts")).to_have_text("30 photos: 30 classified")
    expect(page.locator("#result-text")).to_have_text("30 of 30")
    expect(page.locator("#upload-row")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/batches/[0-9a-f-]{43}$"))
    shown = page.locator(".card").all_inner_texts()
    page.reload()
    expect(page.locator("#counts")).to_have_text("30 photos: 30 classified")
    assert page.locator(".card").all_inner_texts() == shown
    first = page.locator(".card").first
    expect(first.locator(".percent")).to_have_text(re.compile(r"^\d+\.\d %$"))
    expect(first.locator(".time")).to_have_text(re.compile(r"^\d+\.\d\d s$"))
    assert first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_a_photos_five_likeliest_labels_and_its_time_are_shown_on_demand(
    open_page: OpenPage, files: list[Path]
) -> None:
    """The label stands for itself; what else the model thought, and where the time went, comes with a click."""
    page = open_page()
    page.set_input_files("#files", files[0])
    expect_states(page, SUCCESS=1)
    expect(page.locator(".label")).to_have_text("cat")
    expect(page.locator(".top li")).to_have_count(5)
    expect(page.locator(".top")).to_be_hidden()
    page.get_by_text("Top 5").click()
    expect(page.locator(".top li").first).to_contain_text("cat")
    expect(page.locator(".timings")).to_contain_text("in the queue")


def test_a_shared_link_shows_the_batch_to_somebody_else(open_page: OpenPage, files: list[Path]) -> None:
    """What "Copy link" copies opens the same batch in another browser."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.set_input_files("#files", files[:2])
    expect_states(page, SUCCESS=2)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    other = open_page(page.evaluate("navigator.clipboard.readText()"))
    expect(other.locator("#counts")).to_have_text("2 photos: 2 classified")
    expect_cards(other, "chelsea.png", "horse.png")


def test_failures_stand_beside_their_photos_with_the_reason(open_page: OpenPage, files: list[Path]) -> None:
    """What is no photo, and what cannot be decoded, says so; the others are classified."""
    page = open_page()
    page.set_input_files("#files", files)
    expect_states(page, SUCCESS=2, FAILURE=2)
    half, fake = page.locator(".card").nth(2), page.locator(".card").nth(3)
    expect(half.locator(".reason")).to_have_text("The photo is damaged or incomplete and cannot be decoded.")
    expect(fake.locator(".reason")).to_contain_text("not a photo")
    expect(page.locator("#counts")).to_have_text("4 photos: 2 classified, 2 failed")


def test_what_the_network_lost_is_sent_again_with_a_click(open_page: OpenPage, thirty: dict[str, bytes]) -> None:
    """Photos that could not be sent fail with the reason; "Try again" sends them, one or all."""
    page = open_page()
    page.route("**/classify*", lose)
    page.set_input_files("#files", payloads(some(thirty, 3)))
    expect_states(page, FAILURE=3)
    expect(page.locator(".reason").first).to_have_text("The server could not be reached.")
    page.unroute("**/classify*")
    page.get_by_role("button", name="Try 01-astronaut.jpg again").click()
    expect_states(page, SUCCESS=1, FAILURE=2)
    page.get_by_role("button", name="Try the failed again").click()
    expect_states(page, SUCCESS=3)
    page.reload()
    expect(page.locator("#counts")).to_have_text("3 photos: 3 classified")


def test_a_failed_photo_can_be_tried_again_after_a_reload(open_page: OpenPage, files: list[Path]) -> None:
    """The browser no longer has the photo then; the service has. What comes of it stands in the old one's place."""
    page = open_page()
    page.set_input_files("#files", files[1:3])
    expect_states(page, SUCCESS=1, FAILURE=1)
    page.reload()
    failed = page.locator(".card[data-state=FAILURE]")
    before = failed.get_attribute("data-id")
    failed.get_by_role("button").click()
    expect(page.locator(".card").nth(1)).to_be_focused()
    expect(failed).not_to_have_attribute("data-id", str(before), timeout=RESULT_TIMEOUT_MS)
    expect(failed.locator(".reason")).to_contain_text("damaged or incomplete", timeout=RESULT_TIMEOUT_MS)
    page.reload()
    expect(page.locator("#counts")).to_have_text("2 photos: 1 classified, 1 failed")


def test_what_is_sent_again_does_not_fail_before_it_has_arrived(open_page: OpenPage, thirty: dict[str, bytes]) -> None:
    """The first failures, which are told again with the first piece's results, leave the second piece uploading."""
    page = open_page()
    damaged = {name: data[: len(data) // 2] for name, data in some(thirty, 10).items()}
    page.set_input_files("#files", payloads(damaged))
    expect_states(page, FAILURE=10)
    held: list[Route] = []

    def hold_the_second(route: Route) -> None:
        if route.request.url.count("replaces=") == 8:
            route.continue_()
        else:
            held.append(route)

    page.route("**/classify*", hold_the_second)
    page.get_by_role("button", name="Try the failed again").click()
    expect_states(page, FAILURE=8, UPLOADING=2)
    held.pop().continue_()
    expect_states(page, FAILURE=10)
    page.reload()
    expect(page.locator("#counts")).to_have_text("10 photos: 0 classified, 10 failed")


def test_a_busy_server_is_asked_again_when_it_says(open_page: OpenPage, thirty: dict[str, bytes]) -> None:
    """503 with Retry-After is no failure: the page says that it waits, and goes on."""
    page = open_page()
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"error": "Too much to do."}}
    page.route("**/classify*", lambda route: route.fulfill(**busy), times=2)
    page.set_input_files("#files", payloads(some(thirty, 2)))
    expect(page.locator("#upload-text")).to_have_text("The server is busy; going on in 1 s")
    expect_states(page, SUCCESS=2)


def test_results_come_by_polling_where_events_do_not_get_through(open_page: OpenPage, files: list[Path]) -> None:
    """A proxy that breaks event streams costs seconds, not results."""
    page = open_page()
    page.route("**/events", lose)
    page.set_input_files("#files", files[:2])
    expect_states(page, SUCCESS=2)


def test_a_batchs_page_comes_alive_though_its_first_questions_have_no_answer(
    open_page: OpenPage, files: list[Path]
) -> None:
    """It says why it waits and asks again, until it has what is to be sorted, filtered and tried again."""
    page = open_page()
    page.set_input_files("#files", files[1:3])
    expect_states(page, SUCCESS=1, FAILURE=1)
    slow_down = {"status": 429, "json": {"error": "Slow down."}}
    page.route(page.url, lambda route: route.fallback() if is_document(route) else route.fulfill(**slow_down))
    page.reload()
    expect(page.locator("#notice")).to_have_text("Slow down. Trying again.")
    page.route(page.url, lose)
    expect(page.locator("#notice")).to_have_text("The server could not be reached. Trying again.")
    page.unroute(page.url)
    expect(page.locator("#notice")).to_be_hidden()
    expect_cards(page, "horse.png", "half.jpg")
    page.get_by_role("radio", name="Failed 1").check(force=True)
    expect_cards(page, "half.jpg")
    expect(page.get_by_role("button", name="Try half.jpg again")).to_be_visible()


def test_a_batch_that_is_gone_is_asked_for_no_more(open_page: OpenPage, files: list[Path]) -> None:
    """The page says so; no time will bring it back."""
    page = open_page()
    page.clock.install()
    asked: list[Route] = []

    def gone(route: Route) -> None:
        asked.append(route)
        route.fulfill(status=404, json={"error": "There is no such batch."})

    page.route("**/events", lose)
    page.route("**/batches/*", gone)
    page.set_input_files("#files", files[0])
    expect(page.locator("#notice")).to_have_text("There is no such batch.")
    page.clock.run_for(10_000)
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")
    assert len(asked) == 1


def test_photos_can_be_pasted(open_page: OpenPage, thirty: dict[str, bytes]) -> None:
    """A picture in the clipboard is classified like a chosen one."""
    page = open_page()
    name, data = next(iter(thirty.items()))
    pasted = page.evaluate_handle(TRANSFER, [[name, base64.b64encode(data).decode()]])
    page.evaluate("data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))", pasted)
    expect_states(page, SUCCESS=1)


def test_a_folders_photos_are_sent_and_its_other_files_left_out(
    open_page: OpenPage, thirty: dict[str, bytes], tmp_path: Path
) -> None:
    """Whole folders, with the folders in them."""
    folder = tmp_path / "holiday"
    (folder / "day 2").mkdir(parents=True)
    one, other = list(thirty.items())[:2]
    (folder / one[0]).write_bytes(one[1])
    (folder / "day 2" / other[0]).write_bytes(other[1])
    (folder / "notes.txt").write_text("sunny")
    page = open_page()
    page.set_input_files("#folder", folder)
    expect_states(page, SUCCESS=2)
    assert sorted(page.locator(".name").all_inner_texts()) == [one[0], other[0]]


def test_photos_added_later_belong_to_the_same_batch(open_page: OpenPage, thirty: dict[str, bytes]) -> None:
    """The address stays, and shows all of them."""
    page = open_page()
    page.set_input_files("#files", payloads(some(thirty, 2)))
    expect_states(page, SUCCESS=2)
    address = page.url
    page.set_input_files("#files", payloads(dict(list(thirty.items())[2:5])))
    expect_states(page, SUCCESS=5)
    assert page.url == address
    page.reload()
    expect_cards(page, *list(thirty)[:5])


def test_photos_are_counted_filtered_and_sorted(open_page: OpenPage, files: list[Path]) -> None:
    """By state, by label, by part of the name; in order of name or of confidence."""
    page = open_page()
    page.set_input_files("#files", files)
    expect_states(page, SUCCESS=2, FAILURE=2)
    page.get_by_role("radio", name="Failed 2").check(force=True)
    expect_cards(page, "half.jpg", "fake.jpg")
    page.get_by_role("radio", name="All 4").check(force=True)
    page.get_by_label("Sort by").select_option("name")
    expect(page.locator(".name").first).to_have_text("chelsea.png")
    expect_cards(page, "chelsea.png", "fake.jpg", "half.jpg", "horse.png")
    page.get_by_label("Sort by").select_option("surest")
    expect(page.locator(".card .percent").first).not_to_be_empty()
    shares = [float(text.split()[0]) for text in page.locator("[data-state=SUCCESS] .percent").all_text_contents()]
    assert shares == sorted(shares, reverse=True)
    page.get_by_label("Label", exact=True).select_option("cat")
    expect(page.locator(".card:visible")).to_have_count(1)
    page.get_by_label("Name").fill("nothing like it")
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".card:visible")).to_have_count(4)


def test_results_can_be_saved_as_csv_and_json(open_page: OpenPage, files: list[Path]) -> None:
    """Both files have every photo of the batch, the failed ones with their reason."""
    page = open_page()
    page.set_input_files("#files", files[:3])
    expect_states(page, SUCCESS=2, FAILURE=1)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert [row["name"] for row in rows] == ["chelsea.png", "horse.png", "half.jpg"]
    assert rows[0]["label"] == "cat"
    assert "damaged" in rows[2]["error"]
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    saved = json.loads(download.value.path().read_text())
    assert [result["name"] for result in saved["results"]] == ["chelsea.png", "horse.png", "half.jpg"]


def test_reset_asks_first_and_tells_what_it_removed(open_page: OpenPage, thirty: dict[str, bytes]) -> None:
    """Cancel, or the Escape key, keeps everything; "Delete everything" says how much that was."""
    page = open_page()
    page.set_input_files("#files", payloads(some(thirty, 2)))
    expect_states(page, SUCCESS=2)
    address = page.url
    page.get_by_role("button", name="Reset…").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.reload()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Reset…").click()
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Deleted: \d+ photos, \d+ results"), timeout=60_000)
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()


def test_the_strip_tells_queue_nodes_and_model(open_page: OpenPage) -> None:
    """Figures of the running system, and the way to Flower for who may see it."""
    page = open_page()
    expect(page.locator("#strip-queue")).to_have_text(re.compile(r"^\d+ waiting, \d+ in work$"))
    expect(page.locator("#strip-model")).to_have_text("everyday10")
    expect(page.locator("#strip-nodes")).not_to_be_empty()
    expect(page.get_by_role("link", name="Flower")).to_be_visible()
    expect(page.get_by_text("knows ten things only")).to_be_visible()


def test_photos_can_be_sent_without_javascript(open_page: OpenPage, files: list[Path]) -> None:
    """The form leads to the batch's page, which is complete by itself."""
    page = open_page(java_script_enabled=False)
    page.set_input_files("#files", files[:3])
    page.get_by_role("button", name="Classify").click()
    expect(page).to_have_url(re.compile(r"/batches/[0-9a-f-]{43}$"))
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0, timeout=RESULT_TIMEOUT_MS)
    expect_cards(page, "chelsea.png", "horse.png", "half.jpg")
    expect(page.locator(".label").first).to_have_text("cat")
    expect(page.locator(".reason:visible")).to_contain_text("damaged or incomplete")


def test_a_photo_that_the_browser_cannot_show_gets_its_thumbnail_from_the_server(
    open_page: OpenPage, photos: dict[str, bytes]
) -> None:
    """A TIFF is a symbol at first, and a picture once it is stored."""
    output = io.BytesIO()
    Image.open(io.BytesIO(photos["chelsea.png"])).save(output, "TIFF")
    page = open_page()
    uploads: list[Route] = []

    def hold(route: Route) -> None:
        uploads.append(route)

    page.route("**/classify*", hold)
    page.set_input_files("#files", payloads({"cat.tiff": output.getvalue()}))
    expect(page.locator(".thumb")).to_have_class(re.compile("unreadable"))
    uploads.pop().continue_()
    expect_states(page, SUCCESS=1)
    expect(page.locator(".thumb")).to_have_attribute("src", re.compile("/thumbnail$"))
    assert page.locator(".thumb").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_a_name_that_looks_like_a_script_is_shown_as_text(open_page: OpenPage, thirty: dict[str, bytes]) -> None:
    """Before the reload it is the script's own doing, after it the server's."""
    name = "<img src=x onerror=alert(1)>.jpg"
    page = open_page()
    page.set_input_files("#files", payloads({name: next(iter(thirty.values()))}))
    expect_states(page, SUCCESS=1)
    expect_cards(page, name)
    page.reload()
    expect_cards(page, name)


def test_a_stored_photo_is_a_file_to_save_and_its_thumbnail_a_jpeg(open_page: OpenPage, files: list[Path]) -> None:
    """A photo comes back as it was sent, and no browser takes it for a page; both are kept by the browser alone."""
    page = open_page()
    page.set_input_files("#files", files[0])
    expect_states(page, SUCCESS=1)
    address = f"/photos/{page.locator('.card').get_attribute('data-id')}"
    stored, small = page.request.get(address), page.request.get(f"{address}/thumbnail")
    assert stored.body() == files[0].read_bytes()
    assert (stored.headers["content-type"], stored.headers["content-disposition"]) == (
        "application/octet-stream",
        "attachment",
    )
    assert (small.headers["content-type"], small.body()[:2]) == ("image/jpeg", b"\xff\xd8")
    assert small.headers["cache-control"].startswith("private")


@pytest.mark.parametrize(
    ("sizes", "first", "cut"),
    [
        pytest.param([1] * 5, True, [5], id="few"),
        pytest.param([1] * 120, True, [8, 50, 50, 12], id="a-small-first-piece"),
        pytest.param([1] * 120, False, [50, 50, 20], id="added-later"),
        pytest.param([20e6] * 3, True, [1, 1, 1], id="large-photos"),
        pytest.param([40e6, 1, 1], True, [1, 2], id="one-beyond-the-limit"),
    ],
)
def test_many_photos_are_cut_into_pieces(open_page: OpenPage, sizes: list[float], first: bool, cut: list[int]) -> None:  # noqa: FBT001 - a table
    """Pieces of bounded number and size: labels come early, and nothing large is sent twice."""
    asked = """([sizes, first]) => import('/static/upload.js').then(({ pieces }) => pieces(
      sizes.map((size) => ({ file: { size } })), { first, maxFiles: 500, maxBytes: 5e8 }).map((piece) => piece.length))"""
    assert open_page().evaluate(asked, [sizes, first]) == cut
