"""Terms: the contracts, digests and masks under which rows of a model are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from core.schema.contract import Contract
from core.schema.feature import Feature


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """The contracts of one model and the key of its sensitive values.

    Compared by identity: whoever finds models gives the same object until
    something has changed.

    Attributes
    ----------
    contract
        Of the model: the columns of its log, and the rules for rows of a
        version that declares nothing else.
    by_version
        Contracts of the versions whose rules are others.
    mask_key
        The secret under which values are hashed.
    digests
        Of every contract that a batch may be sent with.
    omittable
        The features that a row of some version may leave out.
    nullable
        Those of them for which null means the same; for any other feature it
        means that one value is missing.
    """

    contract: Contract
    by_version: Mapping[str, Contract] = field(default_factory=dict)
    mask_key: bytes | None = field(default=None, repr=False)
    digests: frozenset[str] = frozenset()
    omittable: frozenset[str] = field(init=False)
    nullable: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        contracts = (self.contract, *self.by_version.values())
        required = [
            frozenset(f.name for f in each.features if not f.optional) for each in contracts
        ]
        names = frozenset(self.contract.feature_names)
        by_all, by_some = (
            names.intersection(*required),
            names.intersection(set().union(*required)),
        )
        object.__setattr__(self, "omittable", names - by_all)
        object.__setattr__(self, "nullable", names - by_some)


def rules(contract: Contract) -> frozenset[Feature]:
    """Return what decides whether a row keeps to a contract, given the columns of the log."""
    return frozenset(replace(feature, unit="") for feature in contract.features)
