//! The actors: thin. Each holds connections and a timer, never a rule.
