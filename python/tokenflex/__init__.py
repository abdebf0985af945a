"""What Autodesk token licenses (Token Flex, Flex) cost, and why.

The road of the data: `read_flexlm` makes events of a license server's logs, `pair` makes sessions of events, `charge`
makes charges of sessions under a `Rule` and `Rates`. Each stage is a table with fixed columns (see `tokenflex.tables`),
so each can be entered with one's own data.

Example:
    >>> import tokenflex as tf
    >>> log = tf.read_flexlm(
    ...     b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
    ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
    ... 12:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
    ... ''', timezone="Europe/Madrid", server="mad-lic-01")
    >>> charges = tf.charge(tf.pair(log.events), rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}),
    ...                     servers={"mad-lic-01": "Europe/Madrid"})
    >>> charges["tokens"].sum()
    Decimal('7.0000')
"""

from tokenflex import tables
from tokenflex._core import __version__, zone_database_version
from tokenflex.audit.avoidable import avoidable_charges, summarize_avoidable
from tokenflex.audit.dispute import Dispute, dispute, read_dispute
from tokenflex.audit.doubles import double_charges
from tokenflex.audit.follow_up import FollowUp, follow_up
from tokenflex.audit.infer_rule import InferredRule, infer_rule
from tokenflex.audit.reconcile import Reconciliation, reconcile
from tokenflex.audit.words import explain_double_charges
from tokenflex.book.book import Book, Update
from tokenflex.contract.chargeback import chargeback
from tokenflex.contract.contract import Contract
from tokenflex.contract.forecast import Burn
from tokenflex.contract.ledger import Ledger
from tokenflex.contract.read_ledger import read_ledger
from tokenflex.contract.terms import Booking, ContractYear, Pack, PerpetualLicense, Pool, PriceTier, TopUp
from tokenflex.errors import (
    ArgumentError,
    ArgumentTypeError,
    BalanceError,
    BusyError,
    CapacityError,
    ColumnTypeError,
    ColumnValueError,
    FieldsError,
    InternalError,
    MissingColumnError,
    SourceError,
    SourceNotFoundError,
    TableTypeError,
    TokenflexError,
    TokenflexWarning,
    ZoneError,
)
from tokenflex.inspection import Inspection, inspect
from tokenflex.metering.at_once import Prepared
from tokenflex.metering.charge import categorize, charge, prepare, replay
from tokenflex.metering.compare_rules import compare_rules
from tokenflex.metering.meter import Meter
from tokenflex.metering.place_servers import place_servers
from tokenflex.metering.rates import Rate, Rates
from tokenflex.metering.rule import FLEX, TOKEN_FLEX, Rule
from tokenflex.metering.rule_grid import rule_grid
from tokenflex.metering.scan_charges import scan_charges
from tokenflex.metering.whatif import zone_whatif
from tokenflex.planning.compare_models import ModelComparison, compare_models
from tokenflex.planning.estimate import Estimate, estimate
from tokenflex.planning.forecast import Forecast, forecast
from tokenflex.planning.offer import Offer, PackOffer
from tokenflex.planning.plan_purchase import plan_purchase
from tokenflex.planning.price_list import Maintenance, PriceList, Subscription
from tokenflex.planning.purchase_plan import PurchasePlan
from tokenflex.planning.scenarios import HeadCount, Project
from tokenflex.planning.sensitivity import Sensitivity, sensitivity
from tokenflex.problems import Problems
from tokenflex.reading.catalog import Catalog
from tokenflex.reading.contract import ContractSnapshot, YearSnapshot, read_contract
from tokenflex.reading.flexlm import FlexlmLog, read_flexlm
from tokenflex.reading.groups import Groups
from tokenflex.reading.identity import Identity
from tokenflex.reading.lmstat import LmstatSnapshots, read_lmstat
from tokenflex.reading.mapping import ColumnGuess
from tokenflex.reading.pseudonymize import pseudonym, pseudonymize
from tokenflex.reading.rlm import RlmLog, read_rlm
from tokenflex.reading.statement.read import read_statement
from tokenflex.reading.table import guess_columns, read_table
from tokenflex.reading.user_zones import UserZones
from tokenflex.reporting.chapter import Chapter, Section
from tokenflex.reporting.report import Report, report
from tokenflex.saving.harvest import harvest
from tokenflex.saving.replay import harvest_replay
from tokenflex.usage.capacity import capacity
from tokenflex.usage.concurrency import concurrency
from tokenflex.usage.heat_map import heat_map
from tokenflex.usage.hours import BusinessHours
from tokenflex.usage.idle import idle
from tokenflex.usage.inactive import inactive
from tokenflex.usage.infer_zones import infer_zones
from tokenflex.usage.judge_denials import judge_denials, summarize_denials
from tokenflex.usage.scan_sessions import scan_sessions
from tokenflex.usage.sessions import denials, held, pair
from tokenflex.usage.vendor import sessions_from

__all__ = [
    "FLEX",
    "TOKEN_FLEX",
    "ArgumentError",
    "ArgumentTypeError",
    "BalanceError",
    "Book",
    "Booking",
    "Burn",
    "BusinessHours",
    "BusyError",
    "CapacityError",
    "Catalog",
    "Chapter",
    "ColumnGuess",
    "ColumnTypeError",
    "ColumnValueError",
    "Contract",
    "ContractSnapshot",
    "ContractYear",
    "Dispute",
    "Estimate",
    "FieldsError",
    "FlexlmLog",
    "FollowUp",
    "Forecast",
    "Groups",
    "HeadCount",
    "Identity",
    "InferredRule",
    "Inspection",
    "InternalError",
    "Ledger",
    "LmstatSnapshots",
    "Maintenance",
    "Meter",
    "MissingColumnError",
    "ModelComparison",
    "Offer",
    "Pack",
    "PackOffer",
    "PerpetualLicense",
    "Pool",
    "Prepared",
    "PriceList",
    "PriceTier",
    "Problems",
    "Project",
    "PurchasePlan",
    "Rate",
    "Rates",
    "Reconciliation",
    "Report",
    "RlmLog",
    "Rule",
    "Section",
    "Sensitivity",
    "SourceError",
    "SourceNotFoundError",
    "Subscription",
    "TableTypeError",
    "TokenflexError",
    "TokenflexWarning",
    "TopUp",
    "Update",
    "UserZones",
    "YearSnapshot",
    "ZoneError",
    "__version__",
    "avoidable_charges",
    "capacity",
    "categorize",
    "charge",
    "chargeback",
    "compare_models",
    "compare_rules",
    "concurrency",
    "denials",
    "dispute",
    "double_charges",
    "estimate",
    "explain_double_charges",
    "follow_up",
    "forecast",
    "guess_columns",
    "harvest",
    "harvest_replay",
    "heat_map",
    "held",
    "idle",
    "inactive",
    "infer_rule",
    "infer_zones",
    "inspect",
    "judge_denials",
    "pair",
    "place_servers",
    "plan_purchase",
    "prepare",
    "pseudonym",
    "pseudonymize",
    "read_contract",
    "read_dispute",
    "read_flexlm",
    "read_ledger",
    "read_lmstat",
    "read_rlm",
    "read_statement",
    "read_table",
    "reconcile",
    "replay",
    "report",
    "rule_grid",
    "scan_charges",
    "scan_sessions",
    "sensitivity",
    "sessions_from",
    "summarize_avoidable",
    "summarize_denials",
    "tables",
    "zone_database_version",
    "zone_whatif",
]
