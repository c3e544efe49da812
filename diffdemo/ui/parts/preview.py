"""What a link to the page looks like where it is shared: a title, a sentence and a picture, by the settings in it."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from diffdemo.registry import SPECS

TITLE = "diffdemo · watch noise turn into pictures"
SENTENCE = "Small diffusion models on CIFAR-10, step by step: choose a class and a seed, compare networks, look inside."
PICTURE = Path(__file__).parents[3] / "docs" / "generate.png"
PICTURE_PATH = "/preview.png"
_OF_GRADIO = re.compile(rb'<meta\s+(?:property|name)="(og|twitter):(title|description|image)"\s+content="[^"]*"\s*/>')
_PLAIN = re.compile(r"[\w .-]{1,40}")


def words(query: Mapping[str, str]) -> dict[str, str]:
    """Title and description of a link with these settings, of which nothing but names and numbers is said."""
    said = {name: value for name, value in query.items() if _PLAIN.fullmatch(value)}
    keys = [said.get(name) for name in ("model", "model_a", "model_b")]
    models = " and ".join(SPECS[key].title for key in keys if key in SPECS)
    subject = ", ".join(prefix + said[name] for name, prefix in (("class", ""), ("seed", "seed ")) if name in said)
    if not models and not subject:
        return {"title": TITLE, "description": SENTENCE}
    title = " by ".join(filter(None, (subject or "a picture", models)))
    again = f"Open it to watch that again. {SENTENCE}"
    return {"title": f"{title[0].upper()}{title[1:]} · diffdemo", "description": again}


class Preview:
    """ASGI middleware that writes `words` into the page in place of Gradio's own, and serves their picture."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send) -> None:
        """As ASGI has it."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", "").rstrip("/"))
        if scope["type"] != "http" or path not in ("", "/", PICTURE_PATH):
            await self._app(scope, receive, send)
            return
        if path == PICTURE_PATH and PICTURE.is_file():
            headers = [(b"content-type", b"image/png"), (b"cache-control", b"max-age=86400")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": PICTURE.read_bytes()})
            return
        start, body = None, b""

        async def collect(message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                page = body if scope["method"] == "HEAD" else _rewritten(body, _content(scope))
                headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
                headers += [(b"content-length", str(len(page)).encode())] * (scope["method"] != "HEAD")
                await send({**start, "headers": headers})
                await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, collect)


def _content(scope: Mapping) -> dict[str, str]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("x-forwarded-host") or headers.get("host")
    content = words(dict(parse_qsl(scope["query_string"].decode("latin-1"))))
    if host and PICTURE.is_file():
        scheme = headers.get("x-forwarded-proto", scope["scheme"]).split(",")[0]
        content["image"] = f"{scheme}://{host}{scope.get('root_path', '').rstrip('/')}{PICTURE_PATH}"
    return content


def _rewritten(page: bytes, content: Mapping[str, str]) -> bytes:
    def ours(found: re.Match) -> bytes:
        family, name = found[1].decode(), found[2].decode()
        attribute = "property" if family == "og" else "name"
        if name not in content:
            return b""
        return f'<meta {attribute}="{family}:{name}" content="{html.escape(content[name])}" />'.encode()

    return _OF_GRADIO.sub(ours, page)
