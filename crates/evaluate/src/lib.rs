//! Protocols, cross-validation, metrics and statistics.
