"""A stand-in for the Hugging Face hub on this machine: the parts of its HTTP interface that models need."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


class Hub:
    """Repositories, each a list of commits; a commit is all files by their paths.

    Attributes:
        url: what HF_ENDPOINT is to be.
        repositories: {owner/name: commits}.
        asked: paths of the files that were fetched.
        tokens: what came as authorization with each commit.
        created: what was asked for with each repository that was new.
    """

    def __init__(self, url: str):
        self.url = url
        self.repositories: dict[str, list[Files]] = {}
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.created: dict[str, dict] = {}

    def sha(self, name: str, number: int = -1) -> str:
        commits = self.repositories[name]
        return hashlib.sha1(f"{name} {number % len(commits)}".encode()).hexdigest()

    def commit(self, name: str, files: Files) -> None:
        commits = self.repositories.setdefault(name, [])
        commits.append({**(commits[-1] if commits else {}), **files})

    def at(self, name: str, revision: str) -> int | None:
        """Which of a repository's commits a branch or commit is."""
        known = {self.sha(name, number): number for number in range(len(self.repositories[name]))}
        return len(known) - 1 if revision == "main" else known.get(revision)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def answer(self, content: bytes | dict | list, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for header, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, code: str) -> None:
        self.answer({"error": code}, 404, X_Error_Code=code)

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        parts = parts[2:] if parts[:2] == ["api", "models"] else parts
        if len(parts) < 4:
            return self.refuse("EntryNotFound")
        owner, name, verb, revision, *path = parts
        if (repository := f"{owner}/{name}") not in self.hub.repositories:
            return self.refuse("RepoNotFound")
        if (number := self.hub.at(repository, revision)) is None:
            return self.refuse("RevisionNotFound")
        files, sha = self.hub.repositories[repository][number], self.hub.sha(repository, number)
        if verb == "revision":
            return self.answer({"id": repository, "sha": sha, "siblings": [{"rfilename": file} for file in files]})
        if verb == "tree":
            listed = [{"type": "file", "path": file, "size": len(files[file]), "oid": "0"} for file in files]
            return self.answer(listed)
        if (file := "/".join(path)) not in files:
            return self.refuse("EntryNotFound")
        if self.command == "GET":
            self.hub.asked.append(file)
        return self.answer(files[file], ETag=f'"{hashlib.sha1(files[file]).hexdigest()}"', X_Repo_Commit=sha)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[-1] == "validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if not (token := self.headers.get("Authorization")):
            return self.answer({"error": "Invalid username or password."}, 401)
        if parts[-2:] == ["repos", "create"]:
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}"
            status = 409 if repository in self.hub.repositories else 200
            self.hub.repositories.setdefault(repository, [])
            self.hub.created.setdefault(repository, asked)
            return self.answer({"url": f"{self.hub.url}/{repository}", "name": repository}, status)
        repository = "/".join(parts[2:4])
        if parts[4] == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            return self.answer(
                {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]}
            )
        lines = [json.loads(line) for line in body.splitlines()]
        added = [line["value"] for line in lines if line["key"] == "file"]
        self.hub.commit(repository, {file["path"]: base64.b64decode(file["content"]) for file in added})
        self.hub.tokens.append(token)
        sha = self.hub.sha(repository)
        return self.answer({"commitUrl": f"{self.hub.url}/{repository}/commit/{sha}", "commitOid": sha})


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that is reachable until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Handler.hub
        finally:
            server.shutdown()
            thread.join()
