"""`Contract`: what was agreed with the vendor, and the pools of tokens that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tokenflex.contract import files, snapshot
from tokenflex.contract.days import first_instants
from tokenflex.contract.fields import Checks, Exact, days_as_text, defaults_of, fill, no_field, plain
from tokenflex.contract.pools import id_of, pools_of
from tokenflex.contract.settle import settle
from tokenflex.contract.whole import checked, read_parts
from tokenflex.errors import ArgumentError, ArgumentTypeError, FieldsError, SourceError
from tokenflex.reading.contract import ContractSnapshot, read_contract
from tokenflex.times import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from tokenflex.arrow import AnyTable
    from tokenflex.contract.ledger import Ledger
    from tokenflex.contract.terms import Booking, ContractYear, Pack, PerpetualLicense, Pool, PriceTier
    from tokenflex.problems import Problems

Order: TypeAlias = Literal["annual_first", "contract_first", "earliest_end"]
NO_SERVERS: Final[Mapping[str, str]] = MappingProxyType({})
OnEmpty: TypeAlias = Literal["overage", "refuse", "error"]


@dataclass(frozen=True, kw_only=True, init=False)
class Contract:
    """A contract for tokens: Token Flex if it has years, Flex if it has packs.

    Attributes:
        number: Its number, as text.
        zone: The IANA zone in whose days it counts. A pool opens at the first instant of its first day there and closes
            at the first instant after its last day.
        years: The years of a Token Flex contract, in order, without gaps; two to five years in all.
        contract_tokens: Tokens of a Token Flex contract that last for its whole term (multi-year tokens).
        packs: The packs of a Flex team.
        bookings: Adjustments, manual consumption, and moves between teams.
        prices: Unit prices by the quantity of a purchase, from the least on. The purchase of Token Flex is all annual
            and contract tokens together; of Flex it is the pack, unless that has a price of its own.
        overage_price: What a token costs that no pool could give, or None.
        currency: In which the prices are, as three letters.
        order: Which pool is drawn from first. `"annual_first"` (the default for Token Flex), `"contract_first"`, or
            `"earliest_end"`: the earliest end first, of one end the smallest pool (always so for Flex).
        on_empty: What becomes of a charge that no pool can give: `"overage"`: it is owed. `"refuse"`: the launch was
            refused, and nothing is drawn. `"error"`: settling stops with an error.
        products: The product lines that it covers, or None for all.
        servers: The zone of each license server of a Token Flex contract. Distributed servers are supported, a
            redundant triad is not.
        perpetual: Perpetual licenses. Token Flex freezes them during its term.

    Raises:
        FieldsError: Fields are wrong. The message names each, not only the first; `fields` has them by name.

    Example:
        >>> import tokenflex as tf
        >>> contract = tf.Contract(
        ...     number="110001", zone="Europe/Madrid", contract_tokens=25000,
        ...     years=[tf.ContractYear(year=1, start="2024-02-01", end="2025-01-31", tokens=344000),
        ...            tf.ContractYear(year=2, start="2025-02-01", end="2026-01-31", tokens=344000)])
        >>> for pool in contract.pools:
        ...     print(pool.id, pool.tokens, pool.opens.isoformat(), pool.closes.isoformat())
        annual 1 344000.0000 2024-01-31T23:00:00+00:00 2025-01-31T23:00:00+00:00
        annual 2 344000.0000 2025-01-31T23:00:00+00:00 2026-01-31T23:00:00+00:00
        contract 25000.0000 2024-01-31T23:00:00+00:00 2026-01-31T23:00:00+00:00
    """

    number: str
    zone: str
    years: tuple[ContractYear, ...]
    contract_tokens: Decimal
    packs: tuple[Pack, ...]
    bookings: tuple[Booking, ...]
    prices: tuple[PriceTier, ...]
    overage_price: Decimal | None
    currency: str
    order: Order
    on_empty: OnEmpty
    products: frozenset[str] | None
    servers: Mapping[str, str] = field(hash=False)
    perpetual: tuple[PerpetualLicense, ...]

    def __init__(
        self,
        *,
        number: str,
        zone: str = "UTC",
        years: Iterable[ContractYear] = (),
        contract_tokens: Exact = 0,
        packs: Iterable[Pack] = (),
        bookings: Iterable[Booking] = (),
        prices: Iterable[PriceTier] = (),
        overage_price: Exact | None = None,
        currency: str = "USD",
        order: Order | None = None,
        on_empty: OnEmpty = "overage",
        products: Iterable[str] | None = None,
        servers: Mapping[str, str] = NO_SERVERS,
        perpetual: Iterable[PerpetualLicense] = (),
    ) -> None:
        given = {
            "number": number,
            "zone": zone,
            "years": years,
            "contract_tokens": contract_tokens,
            "packs": packs,
            "bookings": bookings,
            "prices": prices,
            "overage_price": overage_price,
            "currency": currency,
            "order": order,
            "on_empty": on_empty,
            "products": products,
            "servers": servers,
            "perpetual": perpetual,
        }
        checks = Checks()
        fields = checked(given, checks)
        checks.refuse("contract")
        fill(self, fields)

    def __reduce__(self) -> tuple[Any, ...]:
        # A view of a dictionary cannot be pickled.
        return Contract.from_dict, (self.to_dict(),)

    @property
    def model(self) -> Literal["token_flex", "flex"]:
        """`"token_flex"` or `"flex"`."""
        return "token_flex" if self.years else "flex"

    @property
    def start(self) -> date:
        """Its first day: of the first year, or of the first pack."""
        return self.years[0].start if self.years else min(pack.start for pack in self.packs)

    @property
    def end(self) -> date:
        """Its last day: of the last year, or of the pack that lasts longest."""
        return self.years[-1].end if self.years else max(pack.end for pack in self.packs)

    @property
    def opens(self) -> datetime:
        """The first instant of its first day, in UTC."""
        return min(pool.opens for pool in self.pools)

    @property
    def closes(self) -> datetime:
        """The first instant after its last day, in UTC."""
        return max(pool.closes for pool in self.pools)

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """The pools in the order in which they are drawn from; those that are not open are passed over.

        Example:
            >>> import tokenflex as tf
            >>> contract = tf.Contract(number="team 7", packs=[
            ...     tf.Pack(id="a", tokens=5000, purchased="2026-01-15"),
            ...     tf.Pack(id="b", tokens=500, purchased="2026-01-15"),
            ...     tf.Pack(id="c", tokens=900, purchased="2025-11-01")])
            >>> [pool.id for pool in contract.pools]
            ['c', 'b', 'a']
        """
        return pools_of(self)

    def pool(self, name: str, *, day: date) -> Pool | None:
        """The pool that goes by a name on a day.

        Args:
            name: Its id, or for Token Flex `"CY"`, the annual pool of the day's contract year, or `"MY"`, the
                contract's own pool.
            day: Which day's, in the contract's zone.

        Returns:
            The pool, or None where there is none of that name.
        """
        return self._pools_by_id.get(id_of(self, name, day))

    @cached_property
    def _pools_by_id(self) -> dict[str, Pool]:
        return {pool.id: pool for pool in self.pools}

    def first_instant(self, day: date) -> datetime:
        """The first instant of a day in the contract's zone, in UTC: 00:00 there, or later where the clock skips it."""
        return first_instants([day], self.zone)[day]

    def entitlements(self, *, at: date | datetime) -> tuple[PerpetualLicense, ...]:
        """The perpetual licenses that may be used: none while a Token Flex contract runs, all before and after it.

        Args:
            at: A day in the contract's zone, or an instant with a zone.

        Raises:
            ArgumentTypeError: It is neither.
            ArgumentError: It is an instant without a zone.

        Example:
            >>> import tokenflex as tf
            >>> from datetime import date
            >>> contract = tf.Contract(
            ...     number="110001",
            ...     years=[tf.ContractYear(year=1, start="2024-02-01", end="2026-01-31", tokens=344000)],
            ...     perpetual=[tf.PerpetualLicense(product="ACD", seats=40)])
            >>> contract.entitlements(at=date(2026, 1, 31))
            ()
            >>> contract.entitlements(at=date(2026, 2, 1))[0].seats
            40
        """
        if isinstance(at, datetime):
            time = microseconds(at, "at")
            is_running = microseconds(self.opens, "at") <= time < microseconds(self.closes, "at")
        elif isinstance(at, date):
            is_running = self.start <= at <= self.end
        else:
            raise ArgumentTypeError(f"at has to be a date or an instant, not {type(at).__name__}", location="at")
        return () if self.model == "token_flex" and is_running else self.perpetual

    def settle(
        self,
        charges: AnyTable,
        *,
        statement: AnyTable | None = None,
        as_of: datetime | None = None,
        after: Ledger | None = None,
        problems: Problems | None = None,
    ) -> Ledger:
        """Draws charges and bookings from the pools, in order of time: the ledger of the contract.

        A charge is drawn from the first pool in the contract's order that is open at its instant and has tokens, and
        from the next where that runs dry. What no pool can give is a matter of `on_empty`. At the close of a pool what
        is left expires, or is carried over.

        Args:
            charges: Charges as `tf.charge` gives them. Any Arrow table with `charged_at` (instants in any unit and
                zone) and `tokens` (decimals or whole numbers) will do, with `product` where the contract does not
                cover all. In any order; those that are in order of `charged_at` are not sorted again. Charges of one
                instant are drawn in the order of the rows.
            statement: A statement of `tf.read_statement`. Its manual rows are booked: MANUAL_CONSUMPTION takes
                `tokens` from the pool that `token_pool` names, or from all in order, and MANUAL_ADJUSTMENT does the
                same, or gives where `tokens` is negative. Other rows are not read.
            as_of: The last instant of the ledger. Unless given it is that of the last charge or booking, or of the
                last purchase of a pack. What comes later is not in the ledger.
            after: The ledger as it was, if some of it has been closed: its closed entries stay, and corrections come
                behind them, see `Ledger.update`.
            problems: Collects charges and bookings that were not drawn; without it, a `TokenflexWarning` tells of
                them.

        Returns:
            The ledger.

        Raises:
            BalanceError: The pools cannot pay a charge, and `on_empty` is `"error"`; `row` says which.
            MissingColumnError, ColumnTypeError: A table lacks a column, or has it in a type that cannot be taken.
            ColumnValueError: `tokens` has more than four decimals, or is too large; `row` says where.
            CapacityError: A sum of tokens is too large.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import datetime, timezone
            >>> contract = tf.Contract(number="team 7", packs=[
            ...     tf.Pack(id="small", tokens=10, purchased="2026-07-01"),
            ...     tf.Pack(id="large", tokens=100, purchased="2026-07-01")])
            >>> charges = pl.DataFrame({
            ...     "charged_at": [datetime(2026, 7, day, 8, tzinfo=timezone.utc) for day in (13, 14)],
            ...     "tokens": [7, 7]})
            >>> contract.settle(charges).balances().select("pool", "balance").rows()
            [('small', Decimal('0.0000')), ('large', Decimal('96.0000')), (None, Decimal('96.0000'))]
        """
        return settle(self, charges, statement=statement, as_of=as_of, after=after, problems=problems)

    @classmethod
    def from_snapshot(cls, stated: ContractSnapshot, **terms: Any) -> Contract:  # noqa: ANN401 - of each field its own
        """The contract of which the vendor's API states number, years and tokens.

        Years that are stated without days get them from their neighbours and the contract; where no year has any and
        the contract lasts as many years as it counts, they begin on its anniversaries. What was consumed and what is
        left are the vendor's snapshot and no terms: they are not taken.

        Args:
            stated: What `read_contract` read.
            **terms: The other fields of the contract, such as `zone`, `prices` and `order`. A field that the snapshot
                has too goes before it.

        Returns:
            The contract.

        Raises:
            FieldsError: The snapshot lacks something, or fields are wrong; the message names each.
            ArgumentTypeError: It is no snapshot.

        Example:
            >>> import tokenflex as tf
            >>> stated = tf.read_contract(b'''{"contractNumber": "110001", "contractStartDate": "2024-02-01",
            ...     "contractEndDate": "2026-01-31", "multiyearProvisionedTokens": 25000, "years": [
            ...     {"contractYear": 1, "provisionedTokens": 344000},
            ...     {"contractYear": 2, "provisionedTokens": 344000}]}''')
            >>> contract = tf.Contract.from_snapshot(stated, zone="Europe/Madrid")
            >>> contract.years[1].start
            datetime.date(2025, 2, 1)
        """
        if not isinstance(stated, ContractSnapshot):
            raise ArgumentTypeError(
                f"a ContractSnapshot of tokenflex.read_contract is needed, not {type(stated).__name__}",
                location="stated",
            )
        checks = Checks()
        found: dict[str, Any] = {"number": stated.number, "contract_tokens": snapshot.contract_tokens_of(stated)}
        if "years" not in terms:
            found["years"] = snapshot.years_of(stated, checks)
        return _made(found | terms, checks)

    def to_dict(self) -> dict[str, Any]:
        """The contract as plain values: whole numbers as `int`, others as text, days as ISO text.

        What is empty is left out.
        """
        return {name: days_as_text(value) for name, value in plain(self).items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Contract:
        """The contract of `to_dict`. A field that is left out has its default, an unknown one is a `FieldsError`."""
        if not isinstance(fields, Mapping):
            raise ArgumentError(f"a contract has to be a table of fields, not {type(fields).__name__}")
        checks = Checks()
        return _made(read_parts(fields, checks), checks)

    def to_toml(self) -> str:
        """The contract as a TOML document; `Contract.from_toml` reads it back."""
        return files.toml_of(plain(self))

    @classmethod
    def from_toml(cls, text: str) -> Contract:
        """The contract of a TOML document."""
        return cls.from_dict(files.parsed_toml(text))

    def to_json(self) -> str:
        """The contract as a JSON object; `Contract.from_json` reads it back."""
        return files.json_of(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """The contract of a JSON object."""
        return cls.from_dict(files.parsed_json(text))

    @classmethod
    def read(cls, path: str | Path, *, number: str | None = None) -> Contract:
        """The contract in a file of TOML or JSON, also in the JSON of the vendor's contract endpoint.

        Args:
            path: The file. The vendor's JSON knows no zone: its days are taken as those of UTC, until
                `dataclasses.replace(contract, zone=…)` or `Contract.from_snapshot` says otherwise.
            number: Which contract, where the vendor's JSON holds several.

        Returns:
            The contract.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: It cannot be read, or is neither TOML nor JSON.
            ArgumentError: There is no contract of that number in it, or several and none was named.
            FieldsError: Fields are wrong; the message names each.
        """
        path = Path(path)
        text = files.text_in(path, "contract")
        is_json = files.is_json(path.suffix, text)
        with files.told_of_file(path):
            fields = files.parsed_json(text) if is_json else files.parsed_toml(text)
        try:
            if is_json and files.is_vendors(fields):
                return cls.from_snapshot(read_contract(path, number=number))
            contract = cls.from_dict(fields)
        except FieldsError as error:
            raise FieldsError(f"{path}: {error}", location=error.location, fields=error.fields) from error
        if number not in (None, contract.number):
            raise ArgumentError(f"{path} holds the contract {contract.number}, not {number}", location="number")
        return contract

    def write(self, path: str | Path) -> None:
        """Writes the contract as TOML or JSON, which `read` takes, fit for version control.

        Args:
            path: The file, `.toml` or `.json`; it is replaced.

        Raises:
            SourceError: The file cannot be written, or its ending is another.
        """
        path = Path(path)
        if path.suffix.lower() not in files.ENDINGS:
            raise SourceError(f"{path} has to end with .toml or .json, the forms of a contract", location=str(path))
        text = self.to_json() if files.is_json(path.suffix, "") else self.to_toml()
        try:
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error


def _made(fields: Mapping[str, Any], checks: Checks) -> Contract:
    """The contract of the fields, or one error for all that is wrong with them, and for what `checks` has already."""
    known = defaults_of(Contract)
    for name in fields:
        if name not in known:
            checks.fault(str(name), no_field(name, known, "of a contract"))
    given = {name: value for name, value in fields.items() if name in known}
    whole = checked(known | given, checks)
    checks.refuse("contract")
    contract = object.__new__(Contract)
    fill(contract, whole)
    return contract
