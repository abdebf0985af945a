"""`Meter`: charging that can stop and go on, for streams, restarts and partitions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, coded_columns_of, columns_of
from tokenflex.errors import ArgumentError
from tokenflex.metering.rates import Rate, Rates
from tokenflex.metering.rule import Rule
from tokenflex.metering.terms import found_of, terms_of
from tokenflex.problems import Problems, report
from tokenflex.reading.user_zones import zones_in
from tokenflex.times import instant_in_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokenflex.metering.terms import Found
    from tokenflex.reading.user_zones import Users

READS: Final = ("user", "product", "server", "host", "start", "end")
"""The columns of sessions that metering reads."""

ACTIVITY: Final = ("user", "host", "product", "time", "start", "end")
"""The columns of activity that metering reads."""


class Meter:
    """Charges sessions that come batch after batch, in order of time.

    The charges of all batches together, and of `finish`, are those of `charge` over the whole. A charge comes out as
    soon as nothing that comes later can change it. Within a batch sessions may be in any order, but no batch may reach
    back before the latest start of the ones before it.

    Args:
        rule: As for `charge`.
        rates: As for `charge`.
        servers: As for `charge`.
        users: As for `charge`.
        with_activity: Whether batches come with activity. Without it open means in use.

    Raises:
        ZoneError, ArgumentTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def day(day): return pl.DataFrame({
        ...     "user": ["ana"], "product": ["ACD"], "start": [datetime(2026, 7, day, 8, tzinfo=timezone.utc)],
        ...     "end": [datetime(2026, 7, day, 17, tzinfo=timezone.utc)],
        ... })
        >>> meter = tf.Meter(rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))
        >>> meter.push(day(13)).height
        1
        >>> meter = tf.Meter.resume(meter.state())
        >>> meter.push(day(14)).height + meter.finish().height
        1
    """

    def __init__(
        self,
        *,
        rule: Rule,
        rates: Rates,
        servers: Mapping[str, str] | None = None,
        users: Users | None = None,
        with_activity: bool = False,
    ) -> None:
        with_activity = with_activity and isinstance(rule, Rule) and rule.idle_after is not None
        self._terms = terms_of(rule, rates, servers=servers, users=users, with_activity=with_activity)
        self._rule = rule
        self._rates = rates
        self._zones = {"servers": None if servers is None else dict(servers), "users": zones_in(users, "users")}
        self._with_activity = with_activity
        self._inner = _core.Meter(self._terms)

    @property
    def rule(self) -> Rule:
        """The rule."""
        return self._rule

    @property
    def latest_start(self) -> pl.Series:
        """The latest start so far, as a series of one.

        No charge that is still to come falls due earlier by `min_duration` than this, by which an open session may have
        to wait for its charge.
        """
        return pl.Series([self._inner.latest_start()]).cast(tables.TIME)

    def push(
        self, sessions: AnyTable, *, activity: AnyTable | None = None, problems: Problems | None = None
    ) -> pl.DataFrame:
        """Takes the next sessions.

        Args:
            sessions: As for `charge`. A null `end` is a session that is open until `finish` says when.
            activity: As for `charge`: all that is known of these sessions.
            problems: As for `charge`; rows are counted over all batches.

        Returns:
            The charges that nothing can change any more, see `tables.CHARGES`. `session` counts over all batches.

        Raises:
            ColumnValueError: A session starts before one of an earlier batch; `row` says which. Nothing was taken.
            ArgumentError: The meter is finished, or was not made for activity.
        """
        if activity is not None and not self._with_activity:
            raise ArgumentError(
                "this meter takes no activity: make it with with_activity=True and a rule with idle_after",
                location="activity",
            )
        found = self.pushed(sessions, activity)
        report(found.problems, problems, "Meter.push")
        return found.charges

    def pushed(self, sessions: AnyTable, activity: AnyTable | None = None) -> Found:
        """`push` for other verbs, which tell of problems themselves."""
        known = None if activity is None else columns_of(activity, ACTIVITY)
        return found_of(self._inner.push(*coded_columns_of(sessions, READS), activity=known), self._rule)

    def finish(self, as_of: datetime | None = None, *, problems: Problems | None = None) -> pl.DataFrame:
        """Settles the rest. The meter cannot be used after it.

        Args:
            as_of: Until when open sessions are in use; the latest instant that came unless given.
            problems: As for `charge`.

        Returns:
            The last charges.

        Raises:
            ArgumentError: `as_of` lies before a session's start, or the meter is finished.
        """
        found = self.finished(as_of)
        report(found.problems, problems, "Meter.finish")
        return found.charges

    def finished(self, as_of: datetime | None) -> Found:
        """`finish` for other verbs."""
        return found_of(self._inner.finish(None if as_of is None else instant_in_data(as_of, "as_of")), self._rule)

    def state(self) -> pl.DataFrame:
        """All that the meter is, as a table: write it as Parquet, and `Meter.resume` goes on in another process.

        Returns:
            A table with the columns `kind` and `name` (text) and `n0` to `n18` (whole numbers). It is for `resume` of
            the same version, and holds the names of users and products.
        """
        terms = {
            "version": _core.__version__,
            "zone_database": _core.zone_database_version,
            "rule": self._rule.to_dict(),
            "rates": [rate_written(rate) for rate in self._rates.rows],
            "with_activity": self._with_activity,
            **self._zones,
        }
        state = pl.DataFrame(self._inner.save())
        head = state.clear().vstack(
            pl.DataFrame(
                [{"kind": "terms", "name": json.dumps(terms)} | dict.fromkeys(state.columns[2:], 0)],
                schema=state.schema,
            )
        )
        return pl.concat([head, state])

    @classmethod
    def resume(cls, state: AnyTable) -> Meter:
        """A meter that goes on where another stopped.

        Args:
            state: What `state` gave, from any Arrow library.

        Raises:
            ArgumentError: The table is no state of a meter of this version.
        """
        frame = state if isinstance(state, pl.DataFrame) else pl.DataFrame(columns_of(state, None))
        terms = _terms_in(frame)
        versions = (terms["version"], terms["zone_database"])
        if versions != (_core.__version__, _core.zone_database_version):
            raise ArgumentError(
                f"the state is of version {versions[0]} with zone database {versions[1]}, this is "
                f"{_core.__version__} with {_core.zone_database_version}: days could differ. Charge from the start",
                location="state",
            )
        meter = cls(
            rule=Rule.from_dict(terms["rule"]),
            rates=Rates([rate_read(rate) for rate in terms["rates"]]),
            servers=terms["servers"],
            users=terms["users"],
            with_activity=terms["with_activity"],
        )
        meter._inner = _core.Meter.restore(meter._terms, frame.slice(1))
        return meter


def _terms_in(state: pl.DataFrame) -> dict[str, Any]:
    """What the first row of a state says of rule, rates and zones."""
    wrong = ArgumentError("the table is no state that Meter.state() gave", location="state")
    if not {"kind", "name"} <= set(state.columns) or state.height == 0 or state["kind"][0] != "terms":
        raise wrong
    try:
        terms = json.loads(state["name"][0])
    except (TypeError, ValueError) as error:
        raise wrong from error
    fields = {"version", "zone_database", "rule", "rates", "with_activity", "servers", "users"}
    if not isinstance(terms, dict) or set(terms) != fields:
        raise wrong
    return terms


def rate_written(rate: Rate) -> list[Any]:
    """A rate as JSON takes it."""
    since = None if rate.effective_from is None else rate.effective_from.isoformat()
    return [rate.product, str(rate.tokens), since, rate.family, rate.source]


def rate_read(fields: list[Any]) -> Rate:
    """A rate of what `rate_written` gave."""
    return Rate(*fields)
