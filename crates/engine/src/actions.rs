//! One file per kind of action: its steps, their undo, its deadline and its point of no return.
