"""What calls cost and what may be spent, under one configuration, and what the next one takes over of it."""

from collections.abc import Iterable

from accounting.budgets import Budget
from accounting.costs import Costs, cloud_of
from accounting.ledger import Ledger, located
from settings.model import Config


class Accounts:
    """The ledger, the report of its costs, the budget of everybody, and one for each key that has limits."""

    ledger: Ledger
    budget: Budget
    key_budgets: dict[str, Budget]

    def __init__(self, config: Config, cloud: Iterable[str], previous: "Accounts | None" = None) -> None:
        """cloud: the chain of the cloud's route. previous: the accounts of the configuration before."""
        self._config = config
        same_ledger = previous if previous and previous._has_same(config, "ledger") else None
        self.ledger = (
            same_ledger.ledger if same_ledger else Ledger(located(config.ledger.url, config.written))
        )
        self.costs = Costs(self.ledger, config.timezone, cloud_of(cloud, config.providers))
        same_days = same_ledger if same_ledger and same_ledger._has_same(config, "timezone") else None
        self.budget = (
            same_days.budget
            if same_days and same_days._has_same(config, "budgets")
            else Budget(config.budgets, self.ledger, config.timezone)
        )
        self.key_budgets = self._of_keys(same_days.key_budgets if same_days else {})

    def _has_same(self, config: Config, section: str) -> bool:
        return bool(getattr(config, section) == getattr(self._config, section))

    def _of_keys(self, kept: dict[str, Budget]) -> dict[str, Budget]:
        """By the names of the keys. kept: those of before, which go on where their limits are the same."""
        config = self._config
        return {
            key.name: kept[key.name]
            if key.name in kept and kept[key.name].has_limits_of(key)
            else Budget(key, self.ledger, config.timezone, key=key.name)
            for key in config.server.keys
            if key.name and (key.daily_usd is not None or key.monthly_usd is not None)
        }

    @property
    def budgets(self) -> tuple[Budget, ...]:
        return (self.budget, *self.key_budgets.values())

    def close(self, successor: "Accounts | None") -> None:
        """Let go of what the successor has not taken over; None: of everything."""
        kept = successor.budgets if successor else ()
        for budget in self.budgets:
            if not any(budget is one for one in kept):
                budget.close()
        if successor is None or self.ledger is not successor.ledger:
            self.ledger.close()
