"""The page where it is really served: from a checkout that may not be written, by nobody at home, below a path."""

import http.client
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from cli_helpers import REPOSITORY, contents
from gradio_client import Client, handle_file
from PIL import Image

PREFIX = "/demo/diff"
MAY_NOT = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]  # not even as root, write where no mode says so


@contextmanager
def proxy(page: str) -> Iterator[str]:
    """A reverse proxy that has `page` below a path of its own, as nginx's proxy_pass with a / at its end."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def forward(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            upstream = http.client.HTTPConnection(urlsplit(page).netloc, timeout=60)
            upstream.request(self.command, self.path.removeprefix(PREFIX), body, dict(self.headers))
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            with suppress(http.client.HTTPException, OSError):  # of either side, when the page or a client ends
                while part := answer.read1(65536):
                    self.wfile.write(part)
                    self.wfile.flush()

        do_GET = do_POST = do_HEAD = forward

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        finally:
            server.shutdown()


@pytest.mark.skipif(not shutil.which("setpriv"), reason="there is no setpriv on this machine")
def test_a_checkout_that_may_not_be_written_serves_nobody_without_a_home_below_a_path(tiny_checkpoints, tmp_path):
    """All of it at once, because the page takes seconds to start."""
    checkout, pictures = tmp_path / "checkout", tmp_path / "writable"
    pictures.mkdir()
    shutil.copytree(REPOSITORY / "diffdemo", checkout / "diffdemo")
    shutil.copytree(tiny_checkpoints, checkout / "checkpoints")
    shutil.copy(REPOSITORY / "app.py", checkout)
    subprocess.run(["chmod", "-R", "a-w", checkout], check=True)
    before = contents(checkout)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOME", "XDG", "SPACE"))}
    environment |= {"GRADIO_ROOT_PATH": PREFIX, "TMPDIR": str(pictures)}
    # It is told to end while it compiles.
    command = [*MAY_NOT, sys.executable, "app.py", "--device", "cpu", "--compile"]
    with (tmp_path / "stderr").open("w") as stderr:
        page = subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        said = page.stdout.readline()
        assert "Traceback" not in (tmp_path / "stderr").read_text() and said, (tmp_path / "stderr").read_text()
        with proxy(re.search(r"http://[\w.:]+", said)[0]) as address:
            client = Client(address, verbose=False, download_files=str(pictures))
            drawn, details = client.predict("attention_unet", "cat", 1, "7", 2, api_name="/generate")
            assert [Image.open(shown["image"]).size for shown in drawn] == [(32, 32)] * 2, details
            Image.new("RGB", (40, 40)).save(pictures / "a.png")
            scores = client.predict(handle_file(str(pictures / "a.png")), draws=1, api_name="/classify")
            assert scores["classes"]
    finally:
        page.terminate()
        assert page.wait(timeout=30) == 0
        page.stdout.close()
        subprocess.run(["chmod", "-R", "u+w", checkout], check=True)
    assert contents(checkout) == before
    assert not list(pictures.glob("diffdemo-*"))
    assert not [path for path in (pictures / "gradio").rglob("*") if path.is_file()]


def test_without_a_place_for_temporary_files_the_page_says_what_to_set(monkeypatch):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    with pytest.raises(SystemExit, match="no place for temporary files; set TMPDIR to a folder that this user may"):
        runpy.run_path(str(Path(REPOSITORY, "app.py")), run_name="__main__")
