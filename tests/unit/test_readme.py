"""README.md and its translation have the same structure and the same commands, and the program has the commands."""

from __future__ import annotations

import re
import shlex
import sys
import tarfile
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt
from typer.main import get_command

from nornir_etcd.cli import app
from tests.unit.program import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token

ENGLISH, CHINESE = READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PAGES = (*READMES, *sorted((ROOT / "docs").glob("*.md")))
ELSEWHERE = ("http://", "https://")

FOREIGN = {"--etcd-servers"}
"""Options that a README names of other programs: of kube-apiserver."""
COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
"""As a shell, YAML and Python have it. The READMEs have no `#` after a space within quotes."""
ASSIGNED = re.compile(r"^\s*(?:[A-Z_]+=\S* )+")
"""Variables of the environment before a command."""
HAN = re.compile(r"[\u4e00-\u9fff]")
WORDS = re.compile(r"[A-Za-z]{2,},?\s[A-Za-z]{2,}")
"""Two words are prose; one alone may be a name, or what the report says."""


@dataclass(frozen=True)
class Block:
    """What stands at one place of a page."""

    line: int
    kind: str  # an HTML tag, with the language where it is a code block, or "text", or "code": one line of it
    kept: tuple[str, ...] = ()  # what a translation keeps: commands, what is set as code, targets of links
    words: str = ""  # what it translates


def parse(page: str) -> list[Token]:
    """Read a page as GitHub does, as far as the pages here go."""
    return MarkdownIt("commonmark").enable("table").parse(page)


def blocks(page: str) -> list[Block]:
    """Return a page as its blocks, from the first to the last."""
    return list(_blocks(parse(page)))


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    line = 0
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        if token.type == "inline":
            yield _text(line, token.children or [])
        elif token.nesting >= 0:
            yield Block(line, f"{token.tag} {token.info}".strip())
        if token.type == "fence":
            yield from (_code(line + number, text) for number, text in enumerate(token.content.splitlines(), 1))


def _text(line: int, tokens: list[Token]) -> Block:
    code = sorted(token.content for token in tokens if token.type == "code_inline")
    targets = sorted(_targets(tokens) - {path.name for path in READMES})
    words = " ".join(token.content for token in tokens if token.type in ("text", "image"))
    return Block(line, "text", (*code, *targets), words)


def _targets(tokens: list[Token]) -> set[str]:
    return {str(token.attrs[name]) for token in tokens for name in ("href", "src") if name in token.attrs}


def _code(line: int, text: str) -> Block:
    command, comment = COMMENT.sub("", text).rstrip(), "".join(COMMENT.findall(text))
    return Block(line, "code", (command, "with a comment" if comment else ""), comment)


def differences(english: str, chinese: str) -> list[str]:
    """Return what a translation has otherwise than its original, or does not translate: one line for each."""
    return list(_differences(blocks(english), blocks(chinese)))


def _differences(english: list[Block], chinese: list[Block]) -> Iterator[str]:
    end = Block(0, "the end")
    for here, there in zip_longest(english, chinese, fillvalue=end):
        place = f"lines {here.line} and {there.line}"
        if here.kind != there.kind:  # from here on nothing stands where its counterpart does
            yield f"{place}: {here.kind} {here.words!r}, {there.kind} {there.words!r}"
            return
        if here.kept != there.kept:
            yield f"{place}: {here.kept}, {there.kept}"
        if WORDS.search(here.words) and not HAN.search(there.words):
            yield f"{place}: not translated: {there.words!r}"


def shell_lines(page: str) -> list[str]:
    """Return the commands of a page's shell code without comments and environment, and what else is set as code."""
    parsed = parse(page)
    shell = [line for token in parsed if token.info == "sh" for line in token.content.splitlines()]
    inline = [one.content for token in parsed for one in token.children or [] if one.type == "code_inline"]
    return [ASSIGNED.sub("", COMMENT.sub("", line)).strip() for line in shell] + inline


def parameters(command: Any) -> dict[str, Any]:
    """Return the options of a command, by each of their names."""
    return {name: one for one in command.params if one.param_type_name == "option" for name in one.opts}


def wrong(line: str) -> str:
    """Return what the program would not know in a command line, or nothing."""
    command, words = get_command(app), shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = parameters(command)
    places = sum(one.param_type_name == "argument" for one in command.params)
    while words:
        word = words.pop(0)
        if word in options:
            del words[: 0 if options[word].is_flag else 1]
        elif word.startswith("-") or places == 0:
            return word
        else:
            places -= 1
    return ""


def every_option(command: Any) -> set[str]:
    """Return the options of a command and of all commands below it."""
    return {*parameters(command)}.union(*(every_option(one) for one in getattr(command, "commands", {}).values()))


def test_the_translation_has_what_the_original_has() -> None:
    assert differences(ENGLISH.read_text(encoding="utf-8"), CHINESE.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("## Upgrade\n", "## More\n\n## Upgrade\n"),
        ("## Upgrade\n", "### Upgrade\n"),
        ("## Upgrade\n", "One paragraph more.\n\n## Upgrade\n"),
        ("## Upgrade\n", ""),
        ("```yaml\n", "```sh\n"),
        ("--pause ", "--paused "),
        ("nornir-etcd deploy --dry-run ", "nornir-etcd deploy "),
        ("nornir-etcd deploy    ", "nornir-etcd deploy\nnornir-etcd deploy    "),
        ("cd ~/etcd\n", "cd ~/etcd  # the workspace\n"),
        ("| `.prom` ", "| `.txt` | text |\n| `.prom` "),
        ("| suffix | form |\n| --- | --- |\n", "| suffix | form | since |\n| --- | --- | --- |\n"),
        ("`waiver.expired`", "`waiver.over`"),
        ("(docs/schedule.md)", "(docs/ansible.md)"),
        ("(https://nornir.tech)", "(https://nornir.readthedocs.io)"),
        ("(docs/report.svg)", "(docs/picture.svg)"),
    ],
)
def test_a_change_of_the_original_alone_is_seen(text: str, instead: str) -> None:
    original = ENGLISH.read_text(encoding="utf-8")
    assert text in original
    assert differences(original.replace(text, instead, 1), CHINESE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("members plan                   #", "members plan #"),
        ("Deploys, verifies", "Deploys,\nverifies"),
        ("touches nothing", "does no harm"),
    ],
)
def test_other_words_spaces_and_line_ends_are_no_difference(text: str, instead: str) -> None:
    original = ENGLISH.read_text(encoding="utf-8")
    assert text in original
    assert differences(original.replace(text, instead), CHINESE.read_text(encoding="utf-8")) == []


def test_a_section_at_the_very_end_is_seen_on_either_side() -> None:
    texts = [path.read_text(encoding="utf-8") for path in READMES]
    assert differences(texts[0] + "\n## More\n", texts[1])
    assert differences(texts[0], texts[1] + "\n## 更多\n")


def test_what_was_copied_and_not_translated_is_named_by_its_lines() -> None:
    english = ENGLISH.read_text(encoding="utf-8")
    found = differences(english, english)
    titles = [block.words for there, block in pairwise(blocks(english)) if there.kind == "h2" and " " in block.words]
    assert titles
    assert all(any(f"not translated: {title!r}" in line for line in found) for title in titles)
    assert any("touches nothing" in line for line in found)  # a comment of a command


def test_each_readme_begins_with_a_link_to_the_other() -> None:
    for path, other in (READMES, READMES[::-1]):
        first_line = path.read_text(encoding="utf-8").splitlines()[2]
        assert f"]({other.name})" in first_line


def local_targets(path: Path) -> set[str]:
    """Return the files that a page leads to, by their paths from the root."""
    targets = {target for token in parse(path.read_text(encoding="utf-8")) for target in _targets(token.children or [])}
    local = {target.partition("#")[0] for target in targets if not target.startswith(ELSEWHERE)} - {""}
    return {str((path.parent / target).resolve().relative_to(ROOT)) for target in local}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_that_a_page_leads_to_is_there(path: Path) -> None:
    assert [target for target in local_targets(path) if not (ROOT / target).is_file()] == []


def test_the_source_distribution_has_both_and_what_they_lead_to(tmp_path: Path) -> None:
    assert run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path), cwd=ROOT).code == 0
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {path.name for path in READMES}.union(*(local_targets(path) for path in READMES))
    assert wanted - held == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_program_has_every_command_with_its_options(path: Path) -> None:
    lines = [line for line in shell_lines(path.read_text(encoding="utf-8")) if line.startswith("nornir-etcd ")]
    assert lines or path not in READMES
    assert {line: wrong(line) for line in lines if wrong(line)} == {}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("nornir-etcd depoly", "depoly"),
        ("nornir-etcd certs rotate", "rotate"),
        ("nornir-etcd verify --no-such-thing", "--no-such-thing"),
        ("nornir-etcd verify --pause", "--pause"),
        ("nornir-etcd verify --quiet report.json", "report.json"),
        ("nornir-etcd report diff a.json b.json c.json", "c.json"),
        ("nornir-etcd report diff --format json a.json b.json", ""),
    ],
)
def test_what_the_program_does_not_know_is_named(line: str, word: str) -> None:
    assert wrong(line) == word


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_every_option_that_a_readme_names_is_one_of_some_command(path: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", path.read_text(encoding="utf-8")))
    assert named - FOREIGN - every_option(get_command(app)) == set()


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_make_has_every_target_that_a_readme_names(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = shell_lines(path.read_text(encoding="utf-8"))
    named = {line.removeprefix("make ") for line in lines if line.startswith("make ")}
    assert named
    assert named - targets == set()
