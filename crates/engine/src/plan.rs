//! What comes next, decided without doing anything.
