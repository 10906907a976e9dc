"""A bucket without a cloud: one table of objects behind the two ways in which gs:// is reached.

TensorStore speaks to Google's JSON interface, which `Server` answers on this machine; etils.epath
goes through fsspec, where `FileSystem` is registered. Both can write an object whole, read, list
and delete; whatever renames, copies, appends or locks raises.
"""

import io
import itertools
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec

OBJECTS: dict[str, bytes] = {}
"""By name with the bucket in front, `bucket/run/config.json`."""
_GENERATIONS: dict[str, int] = {}
_NUMBERS = itertools.count(1)
_LOCK = threading.Lock()


class NotOfABucket(AssertionError):
    """Something was asked that no bucket can do."""


def put(name: str, content: bytes) -> int:
    with _LOCK:
        OBJECTS[name], _GENERATIONS[name] = content, next(_NUMBERS)
        return _GENERATIONS[name]


def clear() -> None:
    with _LOCK:
        OBJECTS.clear()
        _GENERATIONS.clear()


def delete(name: str) -> None:
    with _LOCK:
        if name not in OBJECTS:
            raise FileNotFoundError(name)
        del OBJECTS[name], _GENERATIONS[name]


class _Upload(io.BytesIO):
    def __init__(self, name: str):
        super().__init__()
        self._name = name

    def close(self) -> None:
        if not self.closed:
            put(self._name, self.getvalue())
        super().close()


class FileSystem(fsspec.AbstractFileSystem):
    """What fsspec takes for `gs://`."""

    protocol = ("gcs", "gs")
    cachable = False

    def ls(self, path, detail=True, **_):
        path = self._strip_protocol(path).rstrip("/")
        found = {}
        for name, content in list(OBJECTS.items()):
            if name == path:
                found[name] = {"name": name, "size": len(content), "type": "file"}
            elif name.startswith(f"{path}/"):
                child, _, below = name[len(path) + 1 :].partition("/")
                kind = "directory" if below else "file"
                size = 0 if below else len(content)
                found[f"{path}/{child}"] = {"name": f"{path}/{child}", "size": size, "type": kind}
        if not found:
            raise FileNotFoundError(path)
        entries = [found[name] for name in sorted(found)]
        return entries if detail else [entry["name"] for entry in entries]

    def find(self, path, detail=False, **options):
        if detail:
            return super().find(path, detail=True, **options)
        path = self._strip_protocol(path).rstrip("/")
        return sorted(n for n in list(OBJECTS) if n == path or n.startswith(f"{path}/"))

    def _open(self, path, mode="rb", **_):
        path = self._strip_protocol(path)
        if mode == "wb":
            return _Upload(path)
        if mode != "rb":
            raise NotOfABucket(f"{path} is opened with {mode!r}")
        if path not in OBJECTS:
            raise FileNotFoundError(path)
        return io.BytesIO(OBJECTS[path])

    def rm_file(self, path):
        delete(self._strip_protocol(path))

    def mkdir(self, path, create_parents=True, **_):
        pass

    def makedirs(self, path, exist_ok=False):
        pass

    def _refused(self, *names, **_):
        raise NotOfABucket(f"{names} is copied or renamed")

    cp_file = copy = mv = mv_file = rename = touch = _refused


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        bucket, name, query = self._asked()
        if not name:
            prefix = f"{bucket}/{query.get('prefix', '')}"
            names = sorted(n for n in list(OBJECTS) if n.startswith(prefix))
            return self._answer(200, {"items": [_described(n) for n in names]})
        name = f"{bucket}/{name}"
        if name not in OBJECTS:
            return self._answer(404, {})
        if query.get("alt") != "media":
            return self._answer(200, _described(name))
        content, code, headers = OBJECTS[name], 200, {}
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            size = len(content)
            begin = int(first) if first else size - int(last)
            end = min(int(last) + 1, size) if first and last else size
            content, code = content[begin:end], 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        headers["x-goog-generation"] = str(_GENERATIONS[name])
        return self._answer(code, content, headers)

    def do_POST(self):
        bucket, name, query = self._asked()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if name or query.get("uploadType") != "media":
            return self._answer(501, {})  # a copy, a move, a composition
        name = f"{bucket}/{query['name']}"
        expected = query.get("ifGenerationMatch")
        if expected is not None and int(expected) != _GENERATIONS.get(name, 0):
            return self._answer(412, {})
        put(name, content)
        return self._answer(200, _described(name))

    def do_DELETE(self):
        bucket, name, _ = self._asked()
        if f"{bucket}/{name}" not in OBJECTS:
            return self._answer(404, {})
        delete(f"{bucket}/{name}")
        return self._answer(204, b"")

    def _asked(self):
        parts = urlsplit(self.path)
        bucket, _, name = parts.path.partition("/b/")[2].partition("/o")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        return bucket, unquote(name.removeprefix("/")), query

    def _answer(self, code, content, headers=None):
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _described(name: str) -> dict[str, str]:
    bucket, _, inner = name.partition("/")
    generation = str(_GENERATIONS[name])
    return {
        "bucket": bucket,
        "name": inner,
        "size": str(len(OBJECTS[name])),
        "generation": generation,
    }


def serve() -> ThreadingHTTPServer:
    """Answer for gs:// in this process from now on; the caller shuts the server down."""
    fsspec.register_implementation("gcs", FileSystem, clobber=True)
    fsspec.register_implementation("gs", FileSystem, clobber=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["TENSORSTORE_GCS_HTTP_URL"] = f"http://127.0.0.1:{server.server_port}"
    os.environ["GOOGLE_AUTH_TOKEN_FOR_TESTING"] = "none"
    return server
