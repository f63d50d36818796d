//! One pipeline for every Graph request: resolve, authorise, check, call, shape.
