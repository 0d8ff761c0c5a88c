"""In-memory fake of the part of the GCS XML API that Rust object_store uses. Loopback only, stdlib only.
usage: gcs.py PORT [BUCKET ...]; port 0 is any free one, printed; ends when its standard input does.
PUT /_fault?status=503&count=2[&match=REGEX of 'METHOD target'] injects failures"""
import sys, threading, time, hashlib, itertools, re, json
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit, parse_qs, unquote
from xml.sax.saxutils import escape
L = threading.Lock(); B = {}; UP = {}; OLD = {}; GEN = itertools.count(time.time_ns() // 1000); FAULT = []; LOG = []
KEEP = {'content-type': 'Content-Type', 'cache-control': 'Cache-Control', 'content-disposition': 'Content-Disposition',
        'content-encoding': 'Content-Encoding', 'content-language': 'Content-Language', 'x-goog-storage-class': 'x-goog-storage-class'}
class O:
    def __init__(s, data, hdr):
        s.d, s.h, s.g, s.t = data, hdr, next(GEN), time.time(); OLD[str(s.g)] = s; s.e = '"%s-%x"' % (hashlib.md5(data).hexdigest(), s.g)
class H(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'; disable_nagle_algorithm = True
    def log_message(s, *a): pass
    def out(s, code, body=b'', **h):
        if isinstance(body, str): body = body.encode()
        s.send_response(code); n = h.pop('length', len(body))
        for k, v in h.items(): s.send_header(k if k.startswith('x-goog-meta-') else k.replace('_', '-'), str(v))
        if code not in (204, 304): s.send_header('Content-Length', str(n))
        s.end_headers()
        if s.command != 'HEAD' and code not in (204, 304): s.wfile.write(body)
    def err(s, code, c): s.out(code, f'<?xml version="1.0"?><Error><Code>{c}</Code><Message>{c}</Message></Error>', Content_Type='application/xml')
    def body(s):
        if s.headers.get('Transfer-Encoding', '').lower() == 'chunked':
            b = b''
            while (n := int(s.rfile.readline().split(b';')[0], 16)): b += s.rfile.read(n); s.rfile.readline()
            s.rfile.readline(); return b
        return s.rfile.read(int(s.headers.get('Content-Length') or 0))
    def meta(s):
        return {KEEP.get(k.lower(), k.lower()): v for k, v in s.headers.items() if k.lower() in KEEP or k.lower().startswith('x-goog-meta-')}
    def gen_ok(s, cur):
        w = s.headers.get('x-goog-if-generation-match')
        return w is None or int(w) == (cur.g if cur else 0)
    def go(s):
        data = s.body(); u = urlsplit(s.path); q = {k: v[0] for k, v in parse_qs(u.query, keep_blank_values=True).items()}; m = s.command
        if u.path == '/_fault': FAULT.append([int(q['status']), int(q.get('count', 1)), re.compile(q.get('match', '.'))]); return s.out(200)
        with L:
            LOG.append(f'{m} {s.path}')
            for f in FAULT:
                if f[1] > 0 and f[2].search(f'{m} {unquote(s.path)}'): f[1] -= 1; return s.err(f[0], 'InjectedFault')
        if u.path == '/storage/v1/b' and m == 'POST':
            n = json.loads(data)['name']; B.setdefault(n, {}); return s.out(200, json.dumps({'kind': 'storage#bucket', 'name': n}), Content_Type='application/json')
        bn, _, key = u.path[1:].partition('/'); bn, key = unquote(bn), unquote(key)
        with L:
            b = B.get(bn)
            if b is None: return s.err(404, 'NoSuchBucket')
            if not key: return s.ls(bn, b, q) if m == 'GET' else s.err(405, 'MethodNotAllowed')
            o = b.get(key)
            if m in ('GET', 'HEAD'): return s.get(o, q)
            if m == 'DELETE':
                if 'uploadId' in q: return s.out(204) if UP.pop(q['uploadId'], None) else s.err(404, 'NoSuchUpload')
                if o is None: return s.err(404, 'NoSuchKey')
                if not s.gen_ok(o): return s.err(412, 'PreconditionFailed')
                del b[key]; return s.out(204)
            if m == 'POST' and 'uploads' in q:
                i = 'u%d' % next(GEN); UP[i] = (s.meta(), {}, bn, key)
                return s.out(200, f'<?xml version="1.0"?><InitiateMultipartUploadResult><Bucket>{escape(bn)}</Bucket><Key>{escape(key)}</Key><UploadId>{i}</UploadId></InitiateMultipartUploadResult>')
            if 'uploadId' in q:
                up = UP.get(q['uploadId'])
                if not up or up[2:] != (bn, key): return s.err(404, 'NoSuchUpload')
                if m == 'PUT':
                    p = O(data, {}); up[1][int(q['partNumber'])] = p; return s.out(200, ETag=p.e)
                want = [(int(re.search(r'<PartNumber>(\d+)<', x)[1]), re.search(r'<ETag>(.*?)</ETag>', x)[1].replace('&quot;', '"')) for x in re.findall(r'<Part>.*?</Part>', data.decode(), re.S)]
                if any(n not in up[1] or up[1][n].e != e for n, e in want) or [n for n, _ in want] != sorted({n for n, _ in want}): return s.err(400, 'InvalidPart')
                if any(len(up[1][n].d) < 5 << 20 for n, _ in want[:-1]): return s.err(400, 'EntityTooSmall')
                if not s.gen_ok(o): return s.err(412, 'PreconditionFailed')
                b[key] = n = O(b''.join(up[1][k].d for k, _ in want), up[0]); del UP[q['uploadId']]
                return s.out(200, f'<?xml version="1.0"?><CompleteMultipartUploadResult><Key>{escape(key)}</Key><ETag>{escape(n.e)}</ETag></CompleteMultipartUploadResult>', x_goog_generation=n.g)
            if m == 'PUT':
                if src := s.headers.get('x-goog-copy-source'):
                    sb, _, sk = src.lstrip('/').partition('/'); f = B.get(unquote(sb), {}).get(unquote(sk))
                    if f is None: return s.err(404, 'NoSuchKey')
                    if not s.gen_ok(o): return s.err(412, 'PreconditionFailed')
                    b[key] = n = O(f.d, f.h); return s.out(200, f'<?xml version="1.0"?><CopyObjectResult><ETag>{escape(n.e)}</ETag></CopyObjectResult>', ETag=n.e, x_goog_generation=n.g)
                if not s.gen_ok(o): return s.err(412, 'PreconditionFailed')
                b[key] = n = O(data, s.meta()); return s.out(200, ETag=n.e, x_goog_generation=n.g)
        s.err(405, 'MethodNotAllowed')
    def get(s, o, q):
        if 'generation' in q: o = OLD.get(q['generation'])
        if o is None: return s.err(404, 'NoSuchKey')
        h = s.headers; et = lambda v: v.strip() == '*' or o.e in [x.strip() for x in v.split(',')]; dt = lambda k: parsedate_to_datetime(h[k]).timestamp()
        r = {'ETag': o.e, 'Last_Modified': formatdate(o.t, usegmt=True), 'x_goog_generation': o.g, **o.h}
        if 'If-Match' in h:
            if not et(h['If-Match']): return s.err(412, 'PreconditionFailed')
        elif 'If-Unmodified-Since' in h and int(o.t) > dt('If-Unmodified-Since'): return s.err(412, 'PreconditionFailed')
        if 'If-None-Match' in h:
            if et(h['If-None-Match']): return s.out(304, **r)
        elif 'If-Modified-Since' in h and int(o.t) <= dt('If-Modified-Since'): return s.out(304, **r)
        d = o.d; code = 200
        if (g := re.fullmatch(r'bytes=(\d*)-(\d*)', h.get('Range', ''))) and (g[1] or g[2]):
            a = int(g[1]) if g[1] else max(0, len(d) - int(g[2])); z = min(len(d), int(g[2]) + 1) if g[1] and g[2] else len(d)
            if a >= len(d): return s.err(416, 'InvalidRange')
            r['Content_Range'] = f'bytes {a}-{z-1}/{len(d)}'; d = d[a:z]; code = 206
        s.out(code, d, length=len(d), **r)
    def ls(s, bn, b, q):
        p, dl = q.get('prefix', ''), q.get('delimiter', ''); after = q.get('continuation-token') or q.get('start-after', ''); mx = int(q.get('max-keys', 1000)); con = []; pre = []; tok = ''; last = ''
        for k in sorted(b, key=str.encode):
            if not k.startswith(p) or k <= after: continue
            if dl and (i := k.find(dl, len(p))) >= 0:
                c = k[:i + len(dl)]
                if c in pre or after.startswith(c) and 'continuation-token' in q: last = k; continue
                if len(con) + len(pre) >= mx: tok = last; break
                pre.append(c)
            else:
                if len(con) + len(pre) >= mx: tok = last; break
                con.append(k)
            last = k
        x = ''.join(f'<Contents><Key>{escape(k)}</Key><Generation>{b[k].g}</Generation><Size>{len(b[k].d)}</Size><LastModified>{time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(b[k].t))}.{int(b[k].t % 1 * 1000):03}Z</LastModified><ETag>{escape(b[k].e)}</ETag></Contents>' for k in con)
        x += ''.join(f'<CommonPrefixes><Prefix>{escape(c)}</Prefix></CommonPrefixes>' for c in pre)
        s.out(200, f'<?xml version="1.0"?><ListBucketResult><Name>{escape(bn)}</Name><Prefix>{escape(p)}</Prefix><IsTruncated>{str(bool(tok)).lower()}</IsTruncated>' + (f'<NextContinuationToken>{escape(tok)}</NextContinuationToken>' if tok else '') + x + '</ListBucketResult>', Content_Type='application/xml')
    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = go
if __name__ == '__main__':
    for n in sys.argv[2:]: B[n] = {}
    server = ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H); server.daemon_threads = True
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
