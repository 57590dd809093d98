"""A staged folder goes to the Hub in one commit, or not at all."""

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from scripts.hub.publishing import Staged, is_misleading, space_sdk


def push(
    staged: Staged, repo_id: str, *, public: bool = False, revision: str | None = None, create_pr: bool = False
) -> str:
    """Push a staged folder in one commit, into a repository that is made if there is none.

    What an earlier push has left there and would be taken for a part of this one, such as old weights, is removed in
    the same commit and named. Somebody else's commit meanwhile stops it.

    Args:
        staged: what to push.
        repo_id: `someone/name`.
        public: whether everybody may see it; an existing repository must be so already.
        revision: a branch, made if there is none.
        create_pr: open a pull request, to that branch.

    Returns:
        What happened: where it is, then a line for each file that was removed.

    Raises:
        ValueError: it was not pushed; the message says why, and what is on the Hub now.

    Example:
        >>> push(stage_model(Path("build/demo/model"), Path("staged")), "someone/posterclip")  # doctest: +SKIP
        'Pushed to https://huggingface.co/someone/posterclip/commit/4f1c... (private, revision 4f1c...)'
    """
    if not get_token():
        raise ValueError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")
    api, made = HfApi(), False
    try:
        try:
            there = api.repo_info(repo_id, repo_type=staged.repo_type)
        except RepositoryNotFoundError:
            sdk = space_sdk(staged) if staged.repo_type == "space" else None
            api.create_repo(repo_id, repo_type=staged.repo_type, private=not public, space_sdk=sdk)
            made = True
            there = api.repo_info(repo_id, repo_type=staged.repo_type)
        if there.private is False and not public:
            raise ValueError("everybody can see that repository; say --public True if that is meant.")
        if revision:
            if not create_pr:
                api.create_branch(repo_id, branch=revision, repo_type=staged.repo_type, exist_ok=True)
            there = api.repo_info(repo_id, repo_type=staged.repo_type, revision=revision)
        old = set(api.list_repo_files(repo_id, repo_type=staged.repo_type, revision=there.sha)) - set(staged.files)
        stale = sorted(name for name in old if is_misleading(name, staged.repo_type))
        commit = api.create_commit(
            repo_id,
            operations=[
                *(CommitOperationAdd(name, str(staged.folder / name)) for name in staged.files),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=f"Push a {staged.repo_type} of PosterCLIP",
            repo_type=staged.repo_type,
            revision=revision,
            create_pr=create_pr,
            parent_commit=there.sha,
        )
    except Exception as error:  # the client lets through whatever its HTTP library raises
        left = f"{repo_id} was made for it and is empty." if made else f"{repo_id} is as it was."
        if _is_lost(error):
            left = "All of it may be there, or nothing: the same command finds out."
        raise ValueError(f"Not pushed to {repo_id}: {_reason(error)} {left}") from error
    who = "private" if there.private else "public"
    if commit.oid == there.sha:
        return f"Nothing was pushed: {repo_id} holds all of it ({who}, revision {commit.oid})"
    told = f"Pushed to {commit.pr_url or commit.commit_url} ({who}, revision {commit.oid})"
    return "\n".join([told, *(f"removed: {name}" for name in stale)])


def _is_lost(error: BaseException) -> bool:
    """Whether the connection broke; of httpx or httpx2, by the version of huggingface_hub."""
    return type(error).__module__.startswith("httpx")


def _reason(error: BaseException) -> str:
    """One line on what the Hub, or the way to it, has answered."""
    while isinstance(error, RuntimeError) and error.__cause__:  # an upload in a thread
        error = error.__cause__
    if _is_lost(error):
        return f"no answer from {HfApi().endpoint} ({error})."
    if not isinstance(error, HfHubHTTPError):
        return " ".join(str(error).split())
    status, headers = error.response.status_code, error.response.headers
    said = headers.get("X-Error-Message") or headers.get("X-Error-Code") or error.response.reason_phrase
    wait = f" in {headers['Retry-After']} s" if "Retry-After" in headers else " later"
    meaning = {
        401: "the token is not accepted, log in anew with `hf auth login`",
        403: "the token may not write there",
        404: "there is no such repository or branch, or it is not yours to see",
        409: "something else is changing it, try again",
        412: "it was changed meanwhile, try again",
        429: f"too many requests, try again{wait}",
    }.get(status, "try again later" if status >= 500 else "it refuses")
    return f"{meaning} (the Hub: {status} {said})."
