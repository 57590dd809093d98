"""Repositories of the tests' Hub: commits of files per branch, how files are named and listed, and refusals."""

import hashlib
from dataclasses import dataclass, field

USERS = {"hf_ann": "ann", "hf_bob": "bob"}  # by their tokens
LFS = (".safetensors", ".png", ".jpg")


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: dict[str, bytes]


@dataclass
class Repo:
    kind: str
    name: str
    private: bool
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def commit(self, branch, title, files, parents):
        content = repr((branch, title, sorted(files.items()), [parent.oid for parent in parents]))
        self.branches[branch] = [*parents, Commit(hashlib.sha1(content.encode()).hexdigest(), title, files)]
        return self.branches[branch][-1]

    def find(self, revision):
        """The commit of a branch or an id; None, where there is none."""
        if revision in self.branches:
            return self.branches[revision][-1]
        commits = [commit for branch in self.branches.values() for commit in branch]
        return next((commit for commit in commits if commit.oid == revision), None)


@dataclass
class Fault:
    method: str
    path: str
    does: int | str  # an error's status, "cut" or "lose"
    headers: dict[str, str]
    is_ahead: bool = True


def etag(path, content):
    """As git names a file, or LFS if it goes there."""
    if path.endswith(LFS):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path, content):
    found = {"type": "file", "path": path, "size": len(content), "oid": etag(path, content)}
    if path.endswith(LFS):
        found["lfs"] = {"oid": found["oid"], "size": len(content), "pointerSize": 130}
    return found


class Refused(Exception):
    """An answer that ends the request."""

    def __init__(self, status, code="", message="", **body):
        self.status, self.body = status, {"error": message or code, **body}
        self.headers = {"X-Error-Code": code, "X-Error-Message": message or code}


def listing(files, folder, recursive):
    """The entries of a tree: files, and the folders that they lie in."""
    found = {}
    for path, content in files.items():
        if path.startswith(folder):
            parts = path.removeprefix(folder).split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                place = folder + "/".join(parts[:depth])
                found[place] = {"type": "directory", "path": place, "oid": hashlib.sha1(place.encode()).hexdigest()}
            if recursive or len(parts) == 1:
                found[path] = entry(path, content)
    return list(found.values())
