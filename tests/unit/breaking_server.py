"""A server of files whose connections break off."""

import hashlib
import http.server
import threading


class Server:
    """Serves files from 127.0.0.1 as the hub does; breaks off after some bytes, with or without the word Range."""

    def __init__(self, files):
        self.files, self.breaks, self.ranges, self.asked = files, 0, True, []
        self.promised = {}
        for name in files:
            self.add(name, files[name])
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.strip("/")
                content = outer.files.get(name)
                begin = self.headers.get("Range")
                outer.asked.append((name, begin))
                if content is None:
                    return self.send_error(404)
                start = int(begin.removeprefix("bytes=").rstrip("-")) if begin and outer.ranges else 0
                if start >= len(content):
                    return self.send_error(416)
                self.send_response(206 if begin and outer.ranges else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                rest = content[start:]
                if outer.breaks:
                    outer.breaks -= 1
                    rest = rest[: len(rest) // 2]
                    self.close_connection = True
                self.wfile.write(rest)

            def do_HEAD(self):
                """What the hub says of a file: its checksum, and the commit that it is of."""
                name = self.path.strip("/")
                if name not in outer.files:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.files[name])))
                self.send_header("ETag", f'"{outer.promised[name]}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def add(self, name, content):
        """Serve another file, with its checksum."""
        self.files[name], self.promised[name] = content, hashlib.sha256(content).hexdigest()
