"""An OpenAI-compatible server on localhost that does what each test scripts."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CAPTION = {"lesion_type": "papule", "colour": "red"}


def is_text_only(body):
    return all(part["type"] == "text" for part in body["messages"][0]["content"])


def prompt_of(body):
    return body["messages"][0]["content"][-1]["text"]


def completion(text, tokens=100, finish="stop"):
    content = text if isinstance(text, str) else json.dumps(text)
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"total_tokens": tokens}})


def well_behaved(body):
    """A caption for images; for text the diagnosis that the fixtures have."""
    return completion({"diagnoses": ["acne"]} if is_text_only(body) else CAPTION)


class Reply:
    """What a script may return instead of the body of a completion."""

    def __init__(self, status=200, body="", headers=None, *, drop=False, before=None):
        self.status, self.body, self.headers = status, body, headers or {}
        self.drop, self.before = drop, before


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.script = well_behaved
        self.bodies, self.headers_seen, self.paths = [], [], []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        """Clients that give up leave broken pipes; they are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.bodies.append(body)
            server.paths.append(self.path)
            server.headers_seen.append(dict(self.headers))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            self._answer(server.script(body))
        finally:
            with server.lock:
                server.at_once -= 1

    def _answer(self, reply):
        reply = reply if isinstance(reply, Reply) else Reply(body=reply)
        if reply.before:
            reply.before.wait(20)
        content = reply.body.encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) * (2 if reply.drop else 1)))
        self.end_headers()
        self.wfile.write(content)
        if reply.drop:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
