"""From sessions to charges: the rule, the rates, and the verb."""
