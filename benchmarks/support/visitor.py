"""Somebody who speaks to the page's server as Gradio's own clients do, but as fast and as badly as asked to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx


@dataclass
class Outcome:
    """What became of a request: `error` is what the server says went wrong, or "no details" if it says nothing."""

    data: list | None = None
    error: str = ""


class Visitor:
    """A session of its own at the page at this address.

    Attributes:
        session: its name, which may be changed to be somebody else.
        places: in the queue that the last request was told, the next one's being 0.
    """

    def __init__(self, address: str, session: str, config: dict | None = None):
        self.address, self.session, self.places = address, session, []
        self.http = httpx.Client(timeout=120)
        self.config = config or self.http.get(f"{address}config").json()
        self._values = {one["id"]: one["props"] for one in self.config["components"]}

    def event(self, name: str) -> dict:
        """An endpoint's description, or that of the page's button with this id."""
        buttons = {number for number, props in self._values.items() if props.get("elem_id") == name}
        return next(
            one
            for one in self.config["dependencies"]
            if one["api_name"] == name or (one["queue"] is not False and {of for of, _ in one["targets"]} & buttons)
        )

    def join(self, name: str, **asked) -> httpx.Response:
        """Ask for what is as on the page but for `asked`, by the inputs' labels."""
        event = self.event(name)
        inputs = [self._values[number] for number in event["inputs"]]
        return self.send(event["id"], [asked.get(one.get("label"), one.get("value")) for one in inputs])

    def send(self, number: int, data: list) -> httpx.Response:
        """Ask for the event with this number, with any data."""
        self.places = []
        body = {"data": data, "fn_index": number, "session_hash": self.session}
        return self.http.post(f"{self.address}gradio_api/queue/join", json=body)

    @contextmanager
    def listening(self) -> Iterator[Iterator[dict]]:
        """What the server tells this session, until it leaves."""
        place = {"session_hash": self.session}
        with self.http.stream("GET", f"{self.address}gradio_api/queue/data", params=place) as answer:
            yield self._noted(json.loads(line[5:]) for line in answer.iter_lines() if line.startswith("data:"))

    def _noted(self, told: Iterator[dict]) -> Iterator[dict]:
        for message in told:
            if message["msg"] == "estimation":
                self.places.append(message["rank"])
            yield message

    def outcome(self, told: Iterator[dict]) -> Outcome:
        """What becomes of the request that was sent."""
        for message in told:
            if message["msg"] == "process_completed":
                output = message["output"]
                said = "" if message["success"] else output.get("error") or "no details"
                return Outcome(output.get("data"), said)
            if message["msg"] == "unexpected_error":
                return Outcome(error=message["message"])
        return Outcome(error="the server says nothing more")

    def upload(self, name: str, content: bytes) -> dict:
        """A file as an input of an endpoint."""
        paths = self.http.post(f"{self.address}gradio_api/upload", files={"files": (name, content)}).json()
        return {"path": paths[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}
