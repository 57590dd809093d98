"""Push a staged folder to the Hub, in one commit or not at all."""

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from scripts.hub.staging import Staged, is_stale, space_sdk


def push(
    staged: Staged, repo_id: str, *, public: bool = False, revision: str | None = None, create_pr: bool = False
) -> str:
    """Pushes a staged folder in one commit, into a repository that is made if there is none.

    Files of an earlier push that would be taken for a part of this one, such as old weights, are removed in the same
    commit and named; all other files stay. A commit of somebody else in the meantime stops it.

    Args:
        staged: the folder to push.
        repo_id: `someone/name`.
        public: whether everybody may see it; an existing repository must be public already.
        revision: a branch, made if there is none.
        create_pr: opens a pull request to that branch.

    Returns:
        Where the commit is, then a line for each file that was removed.

    Raises:
        ValueError: nothing was pushed; the message says why.

    Example:
        >>> push(stage_model(Path("build/demo/model"), Path("staged")), "someone/posterclip")  # doctest: +SKIP
        'Pushed to https://huggingface.co/someone/posterclip/commit/4f1c... (private, revision 4f1c...)'
    """
    if not get_token():
        raise ValueError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")
    api, kind = HfApi(), staged.repo_type
    try:
        try:
            there = api.repo_info(repo_id, repo_type=kind)
        except RepositoryNotFoundError:
            sdk = space_sdk(staged) if kind == "space" else None
            api.create_repo(repo_id, repo_type=kind, private=not public, space_sdk=sdk)
            there = api.repo_info(repo_id, repo_type=kind)
        if there.private is False and not public:
            raise ValueError("everybody can see that repository; say --public True if that is meant.")
        if revision:
            if not create_pr:
                api.create_branch(repo_id, branch=revision, repo_type=kind, exist_ok=True)
            there = api.repo_info(repo_id, repo_type=kind, revision=revision)
        others = set(api.list_repo_files(repo_id, repo_type=kind, revision=there.sha)) - set(staged.files)
        stale = sorted(name for name in others if is_stale(name, kind))
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=staged.folder,
            delete_patterns=stale or None,
            commit_message=f"Push a {kind} of PosterCLIP",
            repo_type=kind,
            revision=revision,
            create_pr=create_pr,
            parent_commit=there.sha,
        )
    except Exception as error:  # the client lets through whatever its HTTP library raises
        raise ValueError(f"Not pushed to {repo_id}: {_reason(error)}") from error
    visibility = "private" if there.private else "public"
    if commit.oid == there.sha:
        return f"Nothing was pushed: {repo_id} holds all of it ({visibility}, revision {commit.oid})"
    pushed = f"Pushed to {commit.pr_url or commit.commit_url} ({visibility}, revision {commit.oid})"
    return "\n".join([pushed, *(f"removed: {name}" for name in stale)])


def _reason(error: BaseException) -> str:
    """Returns the answer of the Hub, or what went wrong on the way to it, in one line."""
    while isinstance(error, RuntimeError) and error.__cause__:  # an upload in a thread
        error = error.__cause__
    if type(error).__module__.startswith("httpx"):
        return f"no answer from {HfApi().endpoint} ({error}). Run the same command again to find out what arrived."
    if isinstance(error, HfHubHTTPError) and error.response.status_code in (409, 412):
        return "the repository was changed in the meantime, try again."
    return " ".join(str(error).split())
