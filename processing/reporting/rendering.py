"""Pages made from the templates of this folder."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: str, **content: Any) -> str:
    """Returns a page: a file of `templates/`, filled, with all text escaped.

    Raises:
        jinja2.UndefinedError: the template uses a name that is not given.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)
