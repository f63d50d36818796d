//! Identity: the token service, and the check of every token.
