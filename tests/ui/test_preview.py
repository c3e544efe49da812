"""What others see of a link to the page where it is shared."""

import re
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.support.browser import open_shelf, served
from diffdemo.ui.parts.preview import SENTENCE, TITLE, words


@pytest.fixture(scope="module")
def address(tiny_checkpoints) -> Iterator[str]:
    with served(open_shelf(tiny_checkpoints)) as url:
        yield url.rstrip("/")


def metas(page: str) -> dict[str, set[str]]:
    """What each of these tags says, by the name behind the colon."""
    found: dict[str, set[str]] = {}
    for name, content in re.findall(r'="(?:og|twitter):(\w+)"\s+content="([^"]*)"', page):
        found.setdefault(name, set()).add(content)
    return found


def test_a_shared_link_says_what_it_shows(address):
    found = metas(httpx.get(f"{address}/?model=attention_unet&class=ship&seed=7").text)
    assert found["title"] == {"Ship, seed 7 by Attention UNet · diffdemo"}
    assert found["description"] == {f"Open it to watch that again. {SENTENCE}"}
    (picture,) = found["image"]
    assert picture == f"{address}/preview.png"
    answer = httpx.get(picture)
    assert answer.headers["content-type"] == "image/png" and answer.content.startswith(b"\x89PNG")


def test_the_page_itself_has_a_title_and_not_gradios(address):
    answer = httpx.get(address)
    found = metas(answer.text)
    assert found["title"] == {TITLE} and found["description"] == {SENTENCE}
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert httpx.head(address).status_code == 200


def test_behind_a_proxy_the_picture_has_the_address_that_people_see(address):
    headers = {"x-forwarded-proto": "https", "x-forwarded-host": "demo.example"}
    (picture,) = metas(httpx.get(address, headers=headers).text)["image"]
    assert picture == "https://demo.example/preview.png"


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "a" * 41, "{{ config }}", "\x00"])
def test_what_is_no_name_and_no_number_is_not_repeated(address, text):
    assert words({"class": text, "seed": text, "model": text}) == {"title": TITLE, "description": SENTENCE}
    found = metas(httpx.get(address, params={"class": text, "seed": "3"}).text)
    assert found["title"] == {"Seed 3 · diffdemo"}
