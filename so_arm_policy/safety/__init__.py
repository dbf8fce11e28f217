"""Everything between a proposal and the motors: rules, reactions, the supervisor."""
