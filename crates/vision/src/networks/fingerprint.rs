//! A network's share in a fingerprint.

use facefold_core::fingerprint::FingerprintBuilder;
use facefold_engine::Network;

/// Adds a network's tensors in layer order, so that two files with the same weights count as the
/// same network, and so does a network with taps added.
#[must_use]
pub fn add_network(
    mut builder: FingerprintBuilder,
    prefix: &str,
    network: &Network,
) -> FingerprintBuilder {
    for layer in &network.layers {
        for (tensor, shape, values) in layer.op.tensors() {
            let name = format!("{prefix}/{}/{tensor}", layer.op.name());
            builder = builder.tensor(&name, &shape, values);
        }
    }
    builder
}
