"""The contract: pools of tokens, packs, prices, and what was booked on them."""
