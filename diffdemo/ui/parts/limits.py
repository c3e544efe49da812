"""What one visitor may ask of the server, whatever program asks: bytes of a request, turns in the queue."""

import ctypes
import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import gradio as gr
from gradio.route_utils import MultiPartException

from diffdemo.ui.parts.wiring import QUEUE

UPLOAD = 30 * 2**20  # bytes of a picture file
AROUND = 2**20  # bytes of anything else that a request may hold
WAITING = 50  # events in the queue
EVERY, AGE = 600, 3600  # seconds between looks for old files, and how old those are
GIVE_BACK_EVERY = 10  # seconds between times that free memory goes back to the system
SESSIONS = 200  # that are remembered, each in about a megabyte
ALREADY_WAITING = "You have a run in the queue already; wait for its turn, or stop it."


class LimitedBodies:
    """ASGI middleware that refuses a request's body, by its announced length or as it comes, when it is too large.

    Gradio limits each file of an upload, of which there may be a thousand, and nothing else. And it removes the files
    of an upload only if that is refused, so one that is broken off is refused here, too.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        """Serve a request as ASGI has it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        uploading = scope["path"].rstrip("/").endswith("/upload")
        most, taken, whole = AROUND + UPLOAD * uploading, 0, False

        async def counted() -> dict:
            nonlocal taken, whole
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise MultiPartException(f"A request has a maximum allowed size of {most} bytes here.")
            if uploading and not whole and message["type"] == "http.disconnect":
                raise MultiPartException("The upload was broken off.")
            whole = whole or not message.get("more_body", False)
            return message

        announced = dict(scope["headers"]).get(b"content-length", b"")
        if not announced.isdigit() or int(announced) <= most:
            return await self.app(scope, counted, send)
        said = json.dumps({"detail": f"A request may hold {most // 2**20} MB here; send a smaller one."}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": said})


def keep_memory_flat() -> None:
    """Let all threads share two heaps, and give back what is free within them, where glibc is there to be told.

    As many heaps as there are threads only grow, and by itself glibc gives back no more than what lies at their ends.
    """
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-8, 2)  # M_ARENA_MAX
        trim = libc.malloc_trim  # which other C libraries lack

        def give_back() -> None:
            while True:
                time.sleep(GIVE_BACK_EVERY)
                trim(0)

        threading.Thread(target=give_back, daemon=True).start()


def own_folder() -> None:
    """Let Gradio write into a folder of this page's own, from which files go after an hour, and all when it ends.

    Gradio forgets those of a component that an event has updated. A folder that GRADIO_TEMP_DIR names is left alone.
    """
    if "GRADIO_TEMP_DIR" in os.environ:
        return
    folder = tempfile.TemporaryDirectory(prefix="diffdemo-", ignore_cleanup_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = folder.name

    def remove_old() -> None:
        while True:
            time.sleep(EVERY)
            remove_older(Path(folder.name), AGE)

    threading.Thread(target=remove_old, daemon=True).start()


def remove_older(folder: Path, seconds: float) -> None:
    """Remove the files in a folder that were last written so long ago, and the empty folders in it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with suppress(OSError):  # of a folder that is not empty, and of what goes by itself meanwhile
            if time.time() - path.stat().st_mtime > seconds:
                path.rmdir() if path.is_dir() else path.unlink()


def queue(page: gr.Blocks) -> gr.Blocks:
    """The page with a queue in which each visitor has one run waiting, so that nobody fills it alone."""
    # After each event Gradio makes a table of all that it remembers, which would be ten thousand.
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
    page.queue(max_size=WAITING, api_open=False)  # or who calls an endpoint directly passes the queue by
    queue = page._queue
    push = queue.push

    async def push_first(body, request, username) -> tuple:
        network = QUEUE["concurrency_id"]
        asked, waiting = page.fns.get(body.fn_index), queue.event_queue_per_concurrency_id.get(network)
        if asked and waiting and asked.concurrency_id == network:
            others = (_visitor(event.session_hash.replace(event._id, ""), event.request) for event in waiting.queue)
            if _visitor(body.session_hash, request) in others:
                return False, ALREADY_WAITING, "error"
        return await push(body=body, request=request, username=username)

    queue.push = push_first
    return page


def _visitor(session: str | None, request) -> str:
    """A page or a client by its session; a program that names none by its address, as a proxy tells it."""
    client = request.client.host if request.client else ""
    return session or request.headers.get("x-forwarded-for", client)
