//! Pictures to answers with a trained bundle.
