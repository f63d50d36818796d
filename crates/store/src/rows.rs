//! Reading columns into model types.
