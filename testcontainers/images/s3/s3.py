"""In-memory stand-in for S3 that can break its promises. Loopback and standard library only.

usage: s3.py PORT   port 0 is any free one, printed; it ends when its standard input does.

PUT /_set?KEY=VALUE&...  sets how it behaves from now on:
  create=atomic     an object is created at most once (the default)
  create=toctou     it is looked for first and written later, `delay` seconds after: as some real servers do
  create=ignore     the condition to write only what is absent is ignored
  only=REGEX        `create` holds for keys that match; for others it is atomic
  tags=true         listings show the ETags that puts have answered; tags=false: all of them `x`
  copy=SECONDS      how long a copy takes; it appears at its end
  versions=true     every put answers a version
  echo=REGEX        requests whose `METHOD key` matches are refused, with all headers in the answer, as S3 does with some
GET /_count           how many copies were asked for, by target: `{"key": 1}`
"""
import hashlib
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

lock = threading.Lock()
objects = {}
copies = {}
how = {'create': 'atomic', 'delay': '0.04', 'only': '', 'tags': 'true', 'copy': '0', 'versions': 'false', 'echo': ''}
MODIFIED = '2026-01-01T00:00:00.000Z'


def tag(data):
    return '"' + hashlib.md5(data).hexdigest() + '"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def say(self, status, body=b'', headers=None):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def handle_request(self):
        data = self.rfile.read(int(self.headers.get('content-length') or 0))
        url = urlsplit(self.path)
        key, query = unquote(url.path).lstrip('/').partition('/')[2], parse_qs(url.query, keep_blank_values=True)
        try:
            if url.path == '/_set':
                how.update({name: values[0] for name, values in query.items()})
                self.say(200)
            elif url.path == '/_count':
                self.say(200, json.dumps(copies))
            elif how['echo'] and re.search(how['echo'], f'{self.command} {key}'):
                self.echo()
            elif self.command == 'PUT' and self.headers.get('x-amz-copy-source'):
                self.copy(key)
            elif self.command == 'PUT':
                self.put(key, data)
            elif 'list-type' in query:
                self.list(query)
            elif self.command in ('GET', 'HEAD'):
                self.get(key)
            else:
                objects.pop(key, None)
                self.say(204)
        except ConnectionError:
            self.close_connection = True  # nobody waits for the answer any more

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def echo(self):
        sent = escape(''.join(f'{name.lower()}:{value}\n' for name, value in self.headers.items()))
        token = escape(self.headers.get('x-amz-security-token') or '')
        self.say(400, '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidToken</Code>'
                 f'<Message>The provided token is malformed or otherwise invalid.</Message><Token-0>{token}</Token-0>'
                 f'<CanonicalRequest>{sent}</CanonicalRequest><RequestId>4442587FB7D0A2F9</RequestId></Error>')

    def put(self, key, data):
        create = how['create'] if re.search(how['only'], key) else 'atomic'
        if self.headers.get('if-none-match') == '*':
            if create == 'toctou' and key in objects:
                return self.say(412)
            if create != 'atomic':
                time.sleep(float(how['delay']))
        with lock:
            if create == 'atomic' and self.headers.get('if-none-match') and key in objects:
                return self.say(412)
            objects[key] = data
        version = {'x-amz-version-id': '3sL4kqtJlcpXroDTDmJ'} if how['versions'] == 'true' else {}
        self.say(200, headers={'etag': tag(data), **version})

    def copy(self, key):
        source = unquote(self.headers['x-amz-copy-source']).lstrip('/').partition('/')[2]
        with lock:
            copies[key] = copies.get(key, 0) + 1
        data = objects.get(source)
        if data is None:
            return self.say(404, '<Error><Code>NoSuchKey</Code></Error>')
        time.sleep(float(how['copy']))
        objects[key] = data
        self.say(200, f'<CopyObjectResult><ETag>{tag(data)}</ETag><LastModified>{MODIFIED}</LastModified></CopyObjectResult>')

    def list(self, query):
        prefix, delimiter, after = (query.get(name, [''])[0] for name in ('prefix', 'delimiter', 'start-after'))
        contents, folders = '', set()
        for key, data in sorted(objects.copy().items()):
            if not key.startswith(prefix) or key <= after:
                continue
            if delimiter and delimiter in key[len(prefix):]:
                folders.add(prefix + key[len(prefix):].split(delimiter)[0] + delimiter)
                continue
            shown = escape(tag(data)) if how['tags'] == 'true' else 'x'
            contents += (f'<Contents><Key>{escape(key)}</Key><LastModified>{MODIFIED}</LastModified>'
                         f'<ETag>{shown}</ETag><Size>{len(data)}</Size></Contents>')
        for folder in sorted(folders):
            contents += f'<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>'
        self.say(200, f'<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>')

    def get(self, key):
        data = objects.get(key)
        if data is None:
            return self.say(404, '<Error><Code>NoSuchKey</Code></Error>')
        headers = {'etag': tag(data), 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT'}
        wanted = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('range') or '')
        if not wanted:
            return self.say(200, data, headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        headers['content-range'] = f'bytes {first}-{last}/{len(data)}'
        self.say(206, data[first:last + 1], headers)


server = ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
