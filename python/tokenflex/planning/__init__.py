"""Before a contract: what the past would have cost, what is to come, and what to buy. Right of contract and audit."""
