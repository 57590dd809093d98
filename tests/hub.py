"""A Hub in the test process: the protocol of huggingface.co over plain HTTP on the loopback interface.

It covers what huggingface_hub, transformers and datasets ask for when repositories are made, pushed to and pulled from:
whoami, making repositories and branches, the check of a card's YAML, preupload, commits (NDJSON, with regular, LFS and
deleted files, against a parent, or as a pull request), LFS batches, uploads and verification, repository info, trees,
paths-info, and files with their ETag, LFS ones by redirection, in ranges. A repository is a list of commits per
branch, a commit a dict of files. Private repositories are those of the user whose token comes along.

It does not cover Xet (clients need HF_HUB_DISABLE_XET=1), multipart uploads, discussions, tags, quotas, gated
repositories, viewers, nor anything that runs a Space.

Faults are ordered beforehand: `hub.fail("POST", "/commit/", 500)` answers the next such request with an error,
`hub.cut("PUT", "/lfs/")` hangs up in the middle of what is sent, and `hub.lose("GET", "/lfs/")` in the middle of the
answer, after having done what was asked.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub_repositories import LFS, USERS, Fault, Refused, Repo, etag, listing


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.store = f"http://localhost:{self.server_port}/lfs"  # another host, as clients stay on the Hub's own
        self.repos, self.large, self.faults, self.requests = {}, {}, [], []
        self.lock = threading.RLock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""

    def fail(self, method, path, status, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(method, path, status, headers))

    def cut(self, method, path):
        self.fail(method, path, "cut")

    def lose(self, method, path):
        self.fail(method, path, "lose")

    def fault(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault.is_ahead and fault.method == method and re.search(fault.path, path):
                    fault.is_ahead = False
                    return fault
        return None

    def commits(self, name, kind="model", branch="main"):
        """What was pushed; the first commit of every repository is the Hub's own."""
        return self.repos[kind, name].branches[branch][1:]


KIND, NAME = r"(?P<kind>model|dataset|space)s", r"(?P<name>[^/]+/[^/]+)"
PLACE = r"/(?:(?P<kind>dataset|space)s/)?(?P<name>[^/]+/[^/]+)"
ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "validate"),
    ("POST", rf"/api/{KIND}/{NAME}/branch/(?P<revision>[^/]+)", "branch"),
    ("POST", rf"/api/{KIND}/{NAME}/preupload/(?P<revision>[^/]+)", "preupload"),
    ("POST", rf"/api/{KIND}/{NAME}/commit/(?P<revision>[^/]+)", "commit"),
    ("POST", rf"/api/{KIND}/{NAME}/paths-info/(?P<revision>[^/]+)", "paths"),
    ("GET", rf"/api/{KIND}/{NAME}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", "tree"),
    ("GET", rf"/api/{KIND}/{NAME}(?:/revision/(?P<revision>[^/]+))?", "info"),
    ("POST", rf"{PLACE}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", r"/lfs/(?P<oid>\w{64})", "upload"),
    ("POST", r"/lfs/verify", "verify"),
    ("GET", r"/lfs/(?P<oid>\w{64})", "download"),
    ("GET", rf"{PLACE}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.respond()

    do_HEAD = do_POST = do_PUT = do_GET

    def respond(self):
        url = urlsplit(self.path)
        path, self.query = url.path, parse_qs(url.query)
        self.server.requests.append(f"{self.command} {path}")
        fault = self.server.fault(self.command, path)
        if fault and fault.does == "cut":
            self.rfile.read(int(self.headers.get("Content-Length", 2)) // 2)
            self.close_connection = True
            return
        self.body = self.read_body()
        self.loses = fault is not None and fault.does == "lose"
        try:
            if fault and not self.loses:
                return self.send(fault.does, {"error": "ordered by a test"}, fault.headers)
            method = "GET" if self.command == "HEAD" else self.command
            for verb, route, name in ROUTES:
                if verb == method and (found := re.fullmatch(route, path)):
                    with self.server.lock:
                        parts = {key: value and unquote(value) for key, value in found.groupdict().items()}
                        self.send(*getattr(self, name)(**parts))
                    return
            raise Refused(404, message=f"no {self.command} {path} here")
        except Refused as refused:
            self.send(refused.status, refused.body, refused.headers)

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, status, body=b"", headers=None):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        length = {} if self.command == "HEAD" and status < 300 else {"Content-Length": str(len(content))}
        for name, value in {**length, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if self.loses else content)
        self.close_connection = self.close_connection or self.loses

    def user(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in USERS:
            raise Refused(401, message="Invalid credentials in Authorization header")
        return USERS.get(token)

    def repo(self, kind, name, writes=False):
        repo, user = self.server.repos.get((kind or "model", name)), self.user()
        owner = name.split("/")[0]
        if repo is None or (repo.private and user != owner):
            raise Refused(404 if user else 401, "RepoNotFound", "Repository not found")
        if writes and user != owner:
            raise Refused(403 if user else 401, message=f"You have no right to write to {name}")
        return repo

    def at(self, repo, revision):
        if found := repo.find(revision or "main"):
            return found
        raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def whoami(self):
        if user := self.user():
            return 200, {"type": "user", "name": user, "orgs": [], "auth": {"type": "access_token"}}
        raise Refused(401, message="Invalid username or password.")

    def create(self):
        asked = json.loads(self.body)
        user, kind = self.user(), asked.get("type") or "model"
        name = f"{asked['organization'] or user}/{asked['name']}"
        if user is None or user != name.split("/")[0]:
            raise Refused(403 if user else 401, message=f"You don't have the rights to create {name}")
        url = f"{self.server.url}/{'' if kind == 'model' else f'{kind}s/'}{name}"
        if (kind, name) in self.server.repos:
            raise Refused(409, message="You already created this repo", url=url)
        repo = self.server.repos[kind, name] = Repo(kind, name, asked.get("visibility") == "private")
        repo.commit("main", "initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"}, [])
        return 200, {"url": url, "name": name}

    def validate(self):
        front = re.match(r"---\n(.*?)\n---\n", json.loads(self.body)["content"], re.DOTALL)
        try:
            yaml.safe_load(front[1] if front else "")
        except yaml.YAMLError as error:
            raise Refused(400, errors=[{"message": str(error)}], warnings=[]) from None
        return 200, {"errors": [], "warnings": [] if front else [{"message": "empty or missing yaml metadata"}]}

    def branch(self, kind, name, revision):
        repo = self.repo(kind, name, writes=True)
        if revision in repo.branches:
            raise Refused(409, message=f"Reference already exists: {revision}")
        repo.branches[revision] = [*repo.branches["main"]]
        return 200, {}

    def preupload(self, kind, name, revision):
        there = self.at(self.repo(kind, name), revision).files
        files = []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            mode = "lfs" if path.endswith(LFS) else "regular"
            oid = etag(path, there[path]) if path in there else None
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return 200, {"files": files}

    def commit(self, kind, name, revision):
        pull = "create_pr" in self.query
        repo = self.repo(kind, name, writes=not pull)
        head, files, title = self.at(repo, revision), None, ""
        for line in self.body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header":
                title, files = value["summary"], dict(head.files)
                if value.get("parentCommit", head.oid) != head.oid:
                    raise Refused(412, message="A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.server.large:
                    raise Refused(400, message=f"LFS pointer of {value['path']} points to nothing")
                files[value["path"]] = self.server.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        branch = f"refs/pr/{sum('/' in name for name in repo.branches) + 1}" if pull else revision
        made = repo.commit(branch, title, files, repo.branches[revision])
        place = f"{self.server.url}/{'' if kind == 'model' else f'{kind}s/'}{name}"
        answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{place}/commit/{made.oid}"}
        return 200, answer | ({"pullRequestUrl": f"{place}/discussions/{branch[8:]}"} if pull else {})

    def paths(self, kind, name, revision):
        files = self.at(self.repo(kind, name), revision).files
        asked = parse_qs(self.body.decode()).get("paths", [])
        if "json" in self.headers.get("Content-Type", ""):
            asked = json.loads(self.body)["paths"]
        return 200, [found for found in listing(files, "", True) if found["path"] in asked]

    def tree(self, kind, name, revision, path):
        files = self.at(self.repo(kind, name), revision).files
        found = listing(files, f"{path}/" if path else "", self.query.get("recursive", ["false"])[0].lower() == "true")
        if path and not found:
            raise Refused(404, "EntryNotFound", f"{path} does not exist")
        return 200, found

    def info(self, kind, name, revision):
        repo = self.repo(kind, name)
        commit = self.at(repo, revision)
        found = {"_id": name, "id": name, "sha": commit.oid, "private": repo.private, "gated": False, "tags": []}
        found |= {"downloads": 0, "likes": 0, "lastModified": "2026-01-01T00:00:00.000Z", "disabled": False}
        return 200, found | {"siblings": [{"rfilename": path} for path in commit.files]}

    def batch(self, kind, name):
        self.repo(kind, name)  # a pull request brings files too
        objects = []
        for asked in json.loads(self.body)["objects"]:
            if asked["oid"] not in self.server.large:
                places = {"upload": asked["oid"], "verify": "verify"}
                asked["actions"] = {key: {"href": f"{self.server.store}/{place}"} for key, place in places.items()}
            objects.append(asked)
        return 200, {"transfer": "basic", "objects": objects}

    def upload(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, message="the content is not that of the id")
        self.server.large[oid] = self.body
        return 200, b""

    def verify(self):
        if json.loads(self.body)["oid"] not in self.server.large:
            raise Refused(404, message="there is no such object")
        return 200, {}

    def download(self, oid):
        return self.ranged(self.server.large[oid], {"ETag": f'"{oid}"'})

    def resolve(self, kind, name, revision, path):
        commit = self.at(self.repo(kind, name), revision)
        headers = {"X-Repo-Commit": commit.oid}
        if path not in commit.files:
            refused = Refused(404, "EntryNotFound", f"{path} does not exist")
            refused.headers |= headers
            raise refused
        content = commit.files[path]
        headers["ETag"] = f'"{etag(path, content)}"'
        if path.endswith(LFS):
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
            return 302, b"", headers | {"Location": f"{self.server.store}/{etag(path, content)}"}
        return self.ranged(content, headers)

    def ranged(self, content, headers):
        headers |= {"Content-Length": str(len(content)), "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return 200, content, headers
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        part = content[first : last + 1]
        headers |= {"Content-Length": str(len(part)), "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return 206, part, headers
