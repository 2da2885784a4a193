//! The embedding networks, each described once as a list of layers.
