//! What of `facefold-cluster` other programs and simulations can use: how jobs are given to executors.

pub mod jobs;
