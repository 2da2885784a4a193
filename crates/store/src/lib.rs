//! Embeddings on disk: append, resume, verify, load.
