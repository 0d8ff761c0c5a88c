"""In-memory stand-in for the part of the GCS XML API that Rust's object_store uses. Loopback and standard library only.

usage: gcs.py PORT [BUCKET ...]   port 0 is any free one, printed; it ends when its standard input does.
PUT /_fault?status=503&count=2[&match=REGEX of 'METHOD target'] makes the next matching requests fail.
"""
import hashlib
import itertools
import re
import sys
import threading
import time
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ATTRIBUTES = {'content-type', 'cache-control', 'content-disposition', 'content-encoding', 'content-language',
              'x-goog-storage-class'}
SMALLEST_PART = 5 << 20

lock = threading.Lock()
buckets = {}      # name -> {key: Object}
uploads = {}      # id -> Upload
generations = {}  # every object there ever was
faults = []       # [status, requests left, regex]
generation = itertools.count(time.time_ns() // 1000)


class Object:
    def __init__(self, data, attributes):
        self.data, self.attributes = data, attributes
        self.generation, self.time = next(generation), time.time()
        self.etag = '"%s-%x"' % (hashlib.md5(data).hexdigest(), self.generation)
        generations[str(self.generation)] = self


class Upload:
    def __init__(self, bucket, key, attributes):
        self.target, self.attributes, self.parts = (bucket, key), attributes, {}


class Refused(Exception):
    def __init__(self, status, code):
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body='', headers=None):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        bodiless = status in (204, 304)
        if not bodiless:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD' and not bodiless:
            self.wfile.write(body)

    def answer_xml(self, root, content, headers=None):
        text = f'<?xml version="1.0"?><{root}>{content}</{root}>'
        self.answer(200, text, {'Content-Type': 'application/xml', **(headers or {})})

    def handle_request(self):
        data = self.read_body()
        try:
            self.dispatch(data)
        except Refused as refused:
            text = f'<?xml version="1.0"?><Error><Code>{refused.code}</Code><Message>{refused.code}</Message></Error>'
            self.answer(refused.status, text, {'Content-Type': 'application/xml'})
        except ConnectionError:
            self.close_connection = True  # nobody waits for the answer any more

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def read_body(self):
        if self.headers.get('Transfer-Encoding', '').lower() != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length') or 0))
        body = b''
        while size := int(self.rfile.readline().split(b';')[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def dispatch(self, data):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        with lock:
            if url.path == '/_fault':
                faults.append([int(query['status']), int(query.get('count', 1)), re.compile(query.get('match', '.'))])
                return self.answer(200)
            self.fail_if_told()
            bucket, _, key = (unquote(part) for part in url.path[1:].partition('/'))
            objects = buckets.get(bucket)
            if objects is None:
                raise Refused(404, 'NoSuchBucket')
            if not key and self.command == 'GET':
                return self.list(bucket, objects, query)
            if self.command in ('GET', 'HEAD'):
                return self.get(objects.get(key), query)
            if 'uploads' in query or 'uploadId' in query:
                return self.multipart(bucket, objects, key, query, data)
            if self.command == 'PUT' and key:
                return self.put(objects, key, data)
            if self.command == 'DELETE' and key:
                return self.delete(objects, key)
            raise Refused(405, 'MethodNotAllowed')

    def fail_if_told(self):
        for fault in faults:
            if fault[1] > 0 and fault[2].search(f'{self.command} {unquote(self.path)}'):
                fault[1] -= 1
                raise Refused(fault[0], 'InjectedFault')

    def check_generation(self, current):
        wanted = self.headers.get('x-goog-if-generation-match')
        if wanted is not None and int(wanted) != (current.generation if current else 0):
            raise Refused(412, 'PreconditionFailed')

    def attributes(self):
        return {name: value for name, value in self.headers.items()
                if name.lower() in ATTRIBUTES or name.lower().startswith('x-goog-meta-')}

    def put(self, objects, key, data):
        source = self.headers.get('x-goog-copy-source')
        attributes = self.attributes()
        if source:
            bucket, _, name = (unquote(part) for part in source.lstrip('/').partition('/'))
            copied = buckets.get(bucket, {}).get(name)
            if copied is None:
                raise Refused(404, 'NoSuchKey')
            data, attributes = copied.data, copied.attributes
        self.check_generation(objects.get(key))
        objects[key] = new = Object(data, attributes)
        headers = {'ETag': new.etag, 'x-goog-generation': new.generation}
        if source:
            return self.answer_xml('CopyObjectResult', f'<ETag>{escape(new.etag)}</ETag>', headers)
        self.answer(200, headers=headers)

    def delete(self, objects, key):
        if key not in objects:
            raise Refused(404, 'NoSuchKey')
        self.check_generation(objects[key])
        del objects[key]
        self.answer(204)

    def multipart(self, bucket, objects, key, query, data):
        if self.command == 'POST' and 'uploads' in query:
            upload_id = f'u{next(generation)}'
            uploads[upload_id] = Upload(bucket, key, self.attributes())
            content = f'<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId>'
            return self.answer_xml('InitiateMultipartUploadResult', content)
        upload_id = query.get('uploadId')
        upload = uploads.get(upload_id)
        if upload is None or upload.target != (bucket, key):
            raise Refused(404, 'NoSuchUpload')
        if self.command == 'PUT':
            upload.parts[int(query['partNumber'])] = part = Object(data, {})
            return self.answer(200, headers={'ETag': part.etag})
        if self.command == 'DELETE':
            del uploads[upload_id]
            return self.answer(204)
        self.complete(objects, key, upload_id, data)

    def complete(self, objects, key, upload_id, data):
        upload = uploads[upload_id]
        wanted = [(int(re.search(r'<PartNumber>(\d+)<', part)[1]),
                   re.search(r'<ETag>(.*?)</ETag>', part)[1].replace('&quot;', '"'))
                  for part in re.findall(r'<Part>.*?</Part>', data.decode(), re.S)]
        numbers = [number for number, _ in wanted]
        unknown = any(number not in upload.parts or upload.parts[number].etag != etag for number, etag in wanted)
        if unknown or numbers != sorted(set(numbers)):
            raise Refused(400, 'InvalidPart')
        parts = [upload.parts[number].data for number in numbers]
        if any(len(part) < SMALLEST_PART for part in parts[:-1]):
            raise Refused(400, 'EntityTooSmall')
        self.check_generation(objects.get(key))
        objects[key] = new = Object(b''.join(parts), upload.attributes)
        del uploads[upload_id]
        content = f'<Key>{escape(key)}</Key><ETag>{escape(new.etag)}</ETag>'
        self.answer_xml('CompleteMultipartUploadResult', content, {'x-goog-generation': new.generation})

    def get(self, found, query):
        if 'generation' in query:
            found = generations.get(query['generation'])
        if found is None:
            raise Refused(404, 'NoSuchKey')
        headers = {'ETag': found.etag, 'Last-Modified': formatdate(found.time, usegmt=True),
                   'x-goog-generation': found.generation, **found.attributes}
        if not self.is_modified(found):
            return self.answer(304, headers=headers)
        data, status = found.data, 200
        asked = re.fullmatch(r'bytes=(\d*)-(\d*)', self.headers.get('Range', ''))
        if asked and (asked[1] or asked[2]):
            size = len(data)
            start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
            end = min(size, int(asked[2]) + 1) if asked[1] and asked[2] else size
            if start >= size:
                raise Refused(416, 'InvalidRange')
            headers['Content-Range'] = f'bytes {start}-{end - 1}/{size}'
            data, status = data[start:end], 206
        self.answer(status, data, headers)

    def is_modified(self, found):
        """Whether a GET answers with the object, by its conditions; refuses when one of them fails."""
        def tagged(name):
            tags = self.headers[name].strip()
            return tags == '*' or found.etag in [tag.strip() for tag in tags.split(',')]

        def later_than(name):
            return int(found.time) > parsedate_to_datetime(self.headers[name]).timestamp()

        if 'If-Match' in self.headers:
            if not tagged('If-Match'):
                raise Refused(412, 'PreconditionFailed')
        elif 'If-Unmodified-Since' in self.headers and later_than('If-Unmodified-Since'):
            raise Refused(412, 'PreconditionFailed')
        if 'If-None-Match' in self.headers:
            return not tagged('If-None-Match')
        return 'If-Modified-Since' not in self.headers or later_than('If-Modified-Since')

    def list(self, bucket, objects, query):
        prefix, delimiter = query.get('prefix', ''), query.get('delimiter', '')
        token = query.get('continuation-token', '')
        after = token or query.get('start-after', '')
        most = int(query.get('max-keys', 1000))
        keys, folders, last, next_token = [], [], '', ''
        for key in sorted(objects, key=str.encode):
            if not key.startswith(prefix) or key <= after:
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            folder = key[:cut + len(delimiter)] if cut >= 0 else None
            if folder and (folder in folders or token and after.startswith(folder)):
                last = key  # told already, here or on the page before
                continue
            if len(keys) + len(folders) >= most:
                next_token = last
                break
            if folder:
                folders.append(folder)
            else:
                keys.append(key)
            last = key
        content = f'<Name>{escape(bucket)}</Name><Prefix>{escape(prefix)}</Prefix>'
        content += f'<IsTruncated>{str(bool(next_token)).lower()}</IsTruncated>'
        if next_token:
            content += f'<NextContinuationToken>{escape(next_token)}</NextContinuationToken>'
        content += ''.join(listed(key, objects[key]) for key in keys)
        content += ''.join(f'<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>' for folder in folders)
        self.answer_xml('ListBucketResult', content)


def listed(key, found):
    modified = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(found.time)) + f'.{int(found.time % 1 * 1000):03}Z'
    return (f'<Contents><Key>{escape(key)}</Key><Generation>{found.generation}</Generation>'
            f'<Size>{len(found.data)}</Size><LastModified>{modified}</LastModified>'
            f'<ETag>{escape(found.etag)}</ETag></Contents>')


if __name__ == '__main__':
    buckets.update((name, {}) for name in sys.argv[2:])
    server = ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
