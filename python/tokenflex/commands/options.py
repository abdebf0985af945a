"""What the commands share: how options are read, errors are told, and tables are written."""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, get_type_hints

import polars as pl
import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

import tokenflex as tf
from tokenflex import screen
from tokenflex.book.terms import Terms
from tokenflex.commands.config import NAME, Config
from tokenflex.content import whole_file
from tokenflex.inspection import kind_of_file
from tokenflex.words import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD_INPUT = 2
BUSY: Final = 75
"""How a program ends that did nothing, since another one has the book open: EX_TEMPFAIL of sysexits.h, try it later."""
INTERRUPTED = 130
LOOK_AT = 1
"""How a program ends whose answer needs somebody: an audit with differences that nothing explains, for one."""
PRESETS = {"token-flex": tf.TOKEN_FLEX, "flex": tf.FLEX}
UPDATE: Final = "update"
"""The one command that takes a book and logs."""
_BOTH = "--config and --no-config exclude each other"
_ARGUMENTS: Final = {"logs": "logs", "source": "logs", "statement": "statement"}
_from_file: ContextVar[frozenset[str]] = ContextVar("_from_file", default=frozenset())

LogsArgument = Annotated[
    list[str], typer.Argument(help="Log files, folders or patterns; .gz and .zst too.", metavar="LOGS")
]
TimezoneOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SERVER=]ZONE",
        help="The servers' IANA time zone (Europe/Madrid); or one for each server: mad-lic-01=Europe/Madrid.",
    ),
]
ServerOption = Annotated[str | None, typer.Option(help="The server's name, where the log does not say it.")]
RuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="token-flex|flex|FILE.toml",
        help="How tokens are charged: a preset or a rule of your own. Default: token-flex, or that of --book.",
    ),
]
RatesOption = Annotated[Path | None, typer.Option(help="Daily token rates as CSV: product, tokens, effective_from.")]
BookOption = Annotated[
    Path | None,
    typer.Option(metavar="BOOK", help="A book in place of logs: what tokenflex update took, with its zones and rates."),
]
UsersOption = Annotated[
    Path | None,
    typer.Option(help="By which zone each user lives, as CSV: user, zone; valid_from, valid_to if they move."),
]
AliasesOption = Annotated[
    Path | None, typer.Option(help="Who is who, as CSV: spelling, person. Case and domains are known without.")
]
VariantsOption = Annotated[
    Path | None, typer.Option(help="Which codes are one product, as CSV: product, line. Feature codes are known.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Open sessions are in use until then (2026-01-31T16:00Z). Default: the last line."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no summary and no progress.")]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """The options by which logs are read; a command has them with `takes`."""

    timezone: TimezoneOption = None
    server: ServerOption = None
    book: BookOption = None
    quiet: QuietOption = False

    @cached_property
    def kept(self) -> Terms:
        """How the logs of `--book` are read and charged; without one there are no such terms."""
        return Terms() if self.book is None else terms_of_book(self.book)

    @cached_property
    def kept_statement(self) -> pl.DataFrame | None:
        """What the exports in `--book` state; none where it has none."""
        found = None if self.book is None else tf.Book(self.book).statement()
        return None if found is None or found.is_empty() else found

    @cached_property
    def zones(self) -> str | dict[str, str] | None:
        """What `--timezone` says, or else the book."""
        given = zones_of(self.timezone)
        return self.kept.timezone if given is None else given


@dataclass(frozen=True, kw_only=True)
class RatedOptions(ReadOptions):
    """The same, and what products are worth."""

    rates: RatesOption = None

    @cached_property
    def prices(self) -> tf.Rates | None:
        """What `--rates` says, or else the book."""
        given = rates_of(self.rates)
        return self.kept.rates if given is None else given


@dataclass(frozen=True, kw_only=True)
class LogOptions(RatedOptions):
    """The options by which logs are read and charged."""

    rule: RuleOption = None

    @cached_property
    def terms(self) -> tf.Rule:
        """What `--rule` says, or else the book."""
        if self.rule is not None:
            return rule_of(self.rule)
        return self.kept.rule or tf.TOKEN_FLEX


def _take_config(ctx: typer.Context, given: Path | None) -> Path | None:
    """Makes what `tokenflex.toml` says the defaults of a command, before its other options are read."""
    if ctx.resilient_parsing:
        return given
    if ctx.params.get("no_config"):
        if _source(ctx, "config") == "COMMANDLINE":
            fail(_BOTH)
        # What the environment says is not asked for.
        return None
    path = given or Path(NAME)
    if given is None and not path.is_file():
        return None
    with readable_errors():
        # What does not go with a command is passed over.
        ctx.default_map = Config.read(path).options(ctx.info_name or "")
    return path


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="TOKENFLEX_CONFIG",
        show_envvar=False,
        is_eager=True,
        callback=_take_config,
        help=f"Where what is not given here is taken from. Default: {NAME}, if there is one.",
    ),
]
NoConfigOption = Annotated[bool, typer.Option("--no-config", is_eager=True, help=f"Take nothing from {NAME}.")]


def configured(command: Callable[..., None]) -> Callable[..., None]:
    """Lets a command take from `tokenflex.toml` what is not given, and say what it took."""
    own = inspect.signature(command, eval_str=True)
    # What a command needs may stand in the file: whether it is there is seen once that has been read.
    needed = [name for name, parameter in own.parameters.items() if parameter.default is parameter.empty]
    parameters = [each.replace(default=None) if each.name in needed else each for each in own.parameters.values()]
    added = [
        inspect.Parameter("no_config", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=NoConfigOption),
        inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigOption),
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    @wraps(command)
    def run(ctx: typer.Context, config: Path | None, no_config: bool, **given: Any) -> None:  # noqa: ANN401 - of each option its own
        if no_config and config is not None:
            fail(_BOTH)
        passed_over = _logs_or_book(ctx, given)
        taken = [
            param
            for param in ctx.command.params
            if param.name and _source(ctx, param.name) == "DEFAULT_MAP" and param.name not in passed_over
        ]
        is_told = not (given.get("quiet") or given.get("as_json"))
        if taken and is_told:
            # Arguments are logs, or a statement.
            names = [param.opts[0] if param.opts[0].startswith("-") else _ARGUMENTS[param.name] for param in taken]
            typer.echo(f"from {config}: {', '.join(names)}", err=True)
        if given.get("book") and is_told and ctx.info_name != UPDATE:
            _tell_of_book(given["book"])
        for name in needed:
            if given.get("book") and _ARGUMENTS[name] == "logs":
                given[name] = given[name] or []
            elif not given[name]:
                fail(
                    f"no {_ARGUMENTS[name]} given, neither here nor in {NAME}",
                    f"tokenflex init writes {NAME} from a look at your files.",
                )
        token = _from_file.set(frozenset(param.name for param in taken if param.name))
        try:
            command(**given)
        finally:
            _from_file.reset(token)

    parameters += [*added, context]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # of any function
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _logs_or_book(ctx: typer.Context, given: dict[str, Any]) -> set[str]:
    """Lets a book stand in place of logs; what gives way is emptied, and returned by name.

    What stands on the command line goes before `tokenflex.toml`, and a book before logs where both stand there. Where
    both stand on the command line, whoever reads them refuses it.
    """
    if given.get("book") is None or ctx.info_name == UPDATE:
        return set()
    logs = [name for name in ("logs", "source") if given.get(name)]
    if _source(ctx, "book") == "DEFAULT_MAP" and any(
        # Beside a statement, logs are evidence, and a book is as well.
        _source(ctx, name) == "COMMANDLINE" and not ("logs" in given and name == "source" and is_statement(given[name]))
        for name in logs
    ):
        given["book"] = None
        return {"book"}
    passed_over = {name for name in logs if _source(ctx, name) == "DEFAULT_MAP"}
    given.update({name: [] for name in passed_over})
    return passed_over


def _tell_of_book(path: Path) -> None:
    """Says on stderr of when a book is."""
    with readable_errors():
        terms_of_book(path)
        last = tf.Book(path).updates().row(-1, named=True)
    typer.echo(f"from {path}: update {last['update']:,}, which ended {last['ended_at']:%Y-%m-%d %H:%M} UTC", err=True)


def terms_of_book(path: Path) -> Terms:
    """How the logs of a book are read and charged; without a book the program ends, and says how to make one."""
    try:
        return tf.Book(path).terms
    except tf.SourceNotFoundError as error:
        fail(str(error), f"tokenflex update --book {path} LOGS makes it.")


def _source(ctx: typer.Context, name: str) -> str:
    """Where the value of a parameter comes from, as click names it."""
    source = ctx.get_parameter_source(name)
    return "" if source is None else source.name


def is_from_file(name: str) -> bool:
    """Whether an option or argument of the command, by its name in the code, was taken from `tokenflex.toml`.

    Such a one gives way where it does not go with what stands on the command line.
    """
    return name in _from_file.get()


def takes(options: type[ReadOptions]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes the fields of a dataclass options of a command, which gets them together as `asked`."""
    hints = get_type_hints(options, include_extras=True)
    fields = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in sorted(dataclasses.fields(options), key=lambda field: field.name == "quiet")
    ]

    def changed(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            parameters += fields if parameter.name == "asked" else [parameter]

        @wraps(command)
        def run(**given: Any) -> None:  # noqa: ANN401 - of each option its own
            asked = options(**{field.name: given.pop(field.name) for field in fields})
            command(asked=asked, **given)

        # Both are what typer reads.
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # of any function
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return changed


def one_or_each(given: list[str] | None, otherwise: str) -> str | dict[str, str] | None:
    """One value for all, or NAME=VALUE for each; None where none is given. What is neither fails with `otherwise`."""
    given = given or []
    named = dict(value.split("=", 1) for value in given if "=" in value)
    plain = [value for value in given if "=" not in value]
    if (named and plain) or len(plain) > 1:
        fail(otherwise)
    return plain[0] if plain else named or None


def zones_of(given: list[str] | None) -> str | dict[str, str] | None:
    """One zone for all servers, or server -> zone; None where none is given (logs with full date stamps)."""
    zones = one_or_each(given, "--timezone: give one zone for all servers, or SERVER=ZONE once for each server")
    if isinstance(zones, dict) and (blank := [server for server, zone in zones.items() if not zone]):
        fail(
            f"the time zone of {some(blank)} is not filled in",
            f'Write it into {NAME} under [servers], such as {blank[0]} = "Europe/Madrid", or give --timezone.',
        )
    return zones


def rule_of(text: str) -> tf.Rule:
    """A preset, or the rule in a file."""
    if text in PRESETS:
        return PRESETS[text]
    if not text.endswith(".toml"):
        fail(f"--rule {text}: not a preset ({', '.join(PRESETS)}) and not a .toml file")
    try:
        # A configuration may have a rule of its own.
        within = Config.read(Path(text)).rule if _has_rule_table(text) else None
        return within if isinstance(within, tf.Rule) else tf.Rule.read(text)
    except tf.TokenflexError as error:
        fail(f"--rule {text}: {error}")


def _has_rule_table(path: str) -> bool:
    try:
        return isinstance(tomllib.loads(Path(path).read_text(encoding="utf-8")).get("rule"), dict)
    except (OSError, ValueError, RecursionError):
        return False


def users_of(path: Path | None) -> tf.UserZones:
    """The zones of users in a file; without one the program ends, and says how to come by it."""
    if path is None:
        fail(
            "--users is missing: by which zone does each user live?",
            "Write a CSV with the columns user and zone: ana,Europe/Madrid. tf.infer_zones(sessions) proposes zones.",
        )
    try:
        return tf.UserZones.read(path)
    except tf.SourceError:
        raise
    except tf.TokenflexError as error:
        fail(f"--users {path}: {error}")


def variants_of(path: Path) -> dict[str, str]:
    """Product line of each product in a file."""
    return dict(rows_in(path, "--variants", ("product", "line")))


def rows_in(path: Path, option: str, columns: tuple[str, str]) -> list[tuple[str, str]]:
    """The rows of two columns of a CSV file, as text, where both say something."""
    try:
        table = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        fail(f"{option} {path}: no CSV: {error}")
    if lacking := set(columns) - set(table.columns):
        fail(f"{option} {path}: column {min(lacking)!r} is missing: it has to have {' and '.join(columns)}")
    return table.select(columns).drop_nulls().rows()


def is_statement(sources: list[str]) -> bool:
    """Whether what was given is one table, as the vendor's usage exports are, and no logs; told by its first bytes."""
    return (
        len(sources) == 1
        and Path(sources[0]).is_file()
        and kind_of_file(Path(sources[0])) in ("table", "json", "workbook")
    )


def rates_of(path: Path | None) -> tf.Rates | None:
    """The rates in a file; what is wrong with them is said of the option."""
    if path is None:
        return None
    try:
        return tf.Rates.read(path)
    except tf.SourceError:
        raise
    except tf.ColumnValueError as error:
        hint = "Your contract has them. Without its line a product is charged, and told as of unknown tokens."
        fail(f"--rates {path}: {error}", hint if error.column == "tokens" else "")
    except tf.TokenflexError as error:
        fail(f"--rates {path}: {error}")


def instant_of(text: str | None, option: str = "--as-of") -> datetime | None:
    """An instant as one writes it; without an offset it is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: write it as 2026-01-31T16:00Z")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def writer_of(out: Path | None, option: str = "--out") -> Callable[[pl.DataFrame | pl.LazyFrame], None]:
    """Checks the file before the long work, and writes it whole or not at all."""
    if out is None:
        return lambda _: None
    may_be_written(out, option, (".parquet", ".csv"))

    def write(table: pl.DataFrame | pl.LazyFrame) -> None:
        with whole_file(out) as file:
            if isinstance(table, pl.LazyFrame):
                table.sink_parquet(file) if out.suffix == ".parquet" else table.sink_csv(file)
            else:
                table.write_parquet(file) if out.suffix == ".parquet" else table.write_csv(file)

    return write


def is_folder(out: Path | None) -> bool:
    """Whether a table is to be written into a folder, in many files."""
    return out is not None and (out.is_dir() or not out.suffix)


def folder_may_be_written(out: Path, option: str = "--out") -> None:
    """Ends the program where files would stand beside others that are there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        fail(f"{option} {out}: there is something already: give an empty folder, or one that is not there yet")
    if not out.absolute().parent.is_dir():
        fail(f"{option} {out}: there is no folder {out.parent}")


def may_be_written(path: Path, option: str, endings: tuple[str, ...]) -> None:
    """Ends the program where a file has a name of another kind, or no folder to be in."""
    if path.suffix not in endings:
        fail(f"{option} {path}: give a name that ends in {' or '.join(endings)}")
    if not path.parent.is_dir():
        fail(f"{option} {path}: there is no folder {path.parent}")


@contextmanager
def reading_bar(*, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on stderr while the logs are read; none where nobody would see it."""
    with _bar("reading", DownloadColumn(), quiet=quiet) as told:
        yield told


@contextmanager
def counting_bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """The same for things that are counted."""
    with _bar(what, MofNCompleteColumn(), quiet=quiet) as told:
        yield told


@contextmanager
def _bar(what: str, done_of_all: ProgressColumn, *, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    to = screen.console(stderr=True)
    if quiet or not to.is_terminal:
        yield None
        return
    with Progress(TextColumn(what), BarColumn(), done_of_all, TimeRemainingColumn(), console=to, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turns what the user can mend into a line or two on stderr. Anything else is a bug and keeps its traceback."""
    try:
        yield
    except (tf.InternalError, BrokenPipeError):
        # The one is a bug; the other is how `… | head` ends, which typer knows.
        raise
    except tf.TokenflexError as error:
        is_zone = isinstance(error, tf.ZoneError) or error.location == "timezone"
        hint = "Give --timezone ZONE for all servers, or --timezone SERVER=ZONE once for each."
        fail(str(error), hint if is_zone else "", BUSY if isinstance(error, tf.BusyError) else BAD_INPUT)
    except OSError as error:
        fail(f"{error.filename or 'file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None


def fail(what: str, hint: str = "", code: int = BAD_INPUT) -> NoReturn:
    """Ends the program with a line on stderr that says what is wrong, and one that says what to do."""
    typer.echo(f"tokenflex: {what}", err=True)
    if hint:
        typer.echo(hint, err=True)
    raise typer.Exit(code)
