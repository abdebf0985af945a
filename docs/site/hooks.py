"""The pages of the site that do not lie in `docs/`, and links that hold both there and where the repository is read.

README, SEMANTICS, DESIGN and their like stand at the top of the repository, where people and tests look for them. This
hook of mkdocs makes pages of them. A link in any page is written as the path from its own file, as code hosts want it,
and is turned here into the path from its page in the site. A file of the repository that is no page is named without a
link. A link to what does not exist is left as it is, and so fails the strict build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

from reference_pages import reference_pages, title

if TYPE_CHECKING:
    from collections.abc import Iterator

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
LINK: Final = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of the reference into the navigation, and pages that have no place in it yet after the how-tos."""
    (reference,) = (section["Reference"] for section in config.nav or [] if "Reference" in section)
    stages = [page.removesuffix(".md") for page in reference_pages() if page != "index.md"]
    reference[:0] = ["reference/index.md", *({title(stage): f"reference/{stage}.md"} for stage in stages)]
    placed = set(_pages_of(config.nav))
    (how_to,) = (section["How-to"] for section in config.nav or [] if "How-to" in section)
    how_to += [page.name for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in placed]
    return config


def _pages_of(nav: object) -> Iterator[str]:
    """All pages of a navigation, however deep."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages_of(part)


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
        code = block[0].replace("```python\n>>> ", "```pycon\n>>> ", 1)  # output is no code
        parts += [_turned(markdown[done : block.start()], here, uri), code]
        done = block.end()
    return "".join([*parts, _turned(markdown[done:], here, uri)])


def _turned(text: str, here: str, uri: str) -> str:
    def turn(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["path"]))
        page = PAGE_OF.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        if page:
            return f"[{link['text']}]({posixpath.relpath(page, posixpath.dirname(uri))}{link['anchor'] or ''})"
        return f"`{target}`" if (ROOT / target).is_file() else link[0]

    return LINK.sub(turn, text)
