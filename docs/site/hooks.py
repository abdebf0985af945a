"""The pages of the site that do not lie in `docs/`, and links that hold both there and where the repository is read.

README, SEMANTICS, DESIGN and their like stand at the top of the repository, where people and tests look for them. This
hook of mkdocs makes pages of them. A link in any page is written as the path from its own file, as code hosts want it,
and is turned here into the path from its page in the site. A link to what is no part of the site is left as it is, and
so fails the strict build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

from reference_pages import reference_pages, title

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]

PAGE_OF: Final = {
    "README.md": "index.md",
    "SEMANTICS.md": "semantics.md",
    "DESIGN.md": "design.md",
    "COMPARE.md": "compare.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benches/README.md": "benches.md",
    "LICENSE": "license.md",
}
"""Path in the repository -> page of the site, of all pages that do not lie in `docs/`."""
SOURCE_OF: Final = {page: source for source, page in PAGE_OF.items()}
LINK: Final = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?=[)#])")
FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of the reference into the navigation, before what else is in its section."""
    (reference,) = (section["Reference"] for section in config.nav or [] if "Reference" in section)
    stages = [page.removesuffix(".md") for page in reference_pages() if page != "index.md"]
    reference[:0] = ["reference/index.md", *({title(stage): f"reference/{stage}.md"} for stage in stages)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that do not lie in `docs/`, and those of the reference."""
    for source, page in PAGE_OF.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for name, text in reference_pages().items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turns the links of the repository into links of the site; what stands in blocks of code is no link."""
    uri = page.file.src_uri
    here = SOURCE_OF.get(uri, f"docs/{uri}")
    if uri == PAGE_OF["LICENSE"]:
        return f"# License\n\n```text\n{markdown}\n```"
    parts, done = [], 0
    for block in FENCE.finditer(markdown):
        parts += [_turned(markdown[done : block.start()], here, uri), block[0]]
        done = block.end()
    return "".join([*parts, _turned(markdown[done:], here, uri)])


def _turned(text: str, here: str, uri: str) -> str:
    def turn(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["path"]))
        page = PAGE_OF.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        return posixpath.relpath(page, posixpath.dirname(uri)) if page else link["path"]

    return LINK.sub(turn, text)
