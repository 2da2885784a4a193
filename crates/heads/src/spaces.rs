//! Settings worth a search, by head: the default search spaces of `facefold tune`.

/// A setting's name and the values to try, as a command line gives them: a list with commas, or
/// a range `LOW..HIGH`, with `:log` where factors matter and not steps.
pub type Dimension = (&'static str, &'static str);

/// A named space of one or more heads.
struct Space {
    name: &'static str,
    heads: &'static [&'static str],
    dimensions: &'static [Dimension],
}

/// The name of the space that is searched where none is named.
pub const DEFAULT: &str = "small";

const PERCEPTRONS: &[&str] = &["mlp", "mlp-ensemble", "mlp-residual"];

const SPACES: [Space; 8] = [
    Space {
        name: DEFAULT,
        heads: PERCEPTRONS,
        dimensions: &[("mlp.dropout", "0.2,0.4,0.6"), ("mlp.learning_rate", "0.001,0.003,0.01")],
    },
    Space {
        name: "optimisers",
        heads: PERCEPTRONS,
        dimensions: &[
            (
                "mlp.optimizer",
                r#"{"adamw":{"weight_decay":0.05}},{"adam":{"weight_decay":0.0001}},{"sgd":{"momentum":0.9,"weight_decay":0.0005}}"#,
            ),
            ("mlp.learning_rate", "0.001,0.003,0.01,0.03"),
            ("mlp.l1", "0,0.00001"),
        ],
    },
    Space {
        name: "wide",
        heads: PERCEPTRONS,
        dimensions: &[
            ("mlp.hidden_layer_sizes", "[256,256],[512,256],[512,512],[512],[256,256,256]"),
            ("mlp.input_dropout", "0..0.4"),
            ("mlp.dropout", "0.1..0.7"),
            ("mlp.mixup", "0..0.8"),
            ("mlp.learning_rate", "0.0005..0.01:log"),
            ("mlp.epochs", "8,12,20"),
        ],
    },
    // One fit of `svm` tries its whole list of costs, so no trial need stand for one.
    Space {
        name: DEFAULT,
        heads: &["svm"],
        dimensions: &[("svm.scaling", "standard,unit"), ("svm.gamma", "0.125,0.25,0.5,1")],
    },
    Space {
        name: "wide",
        heads: &["svm", "svm-linfa"],
        dimensions: &[
            ("svm.scaling", "standard,unit"),
            ("svm.c", "0.1..100:log"),
            ("svm.gamma", "0.05..4:log"),
        ],
    },
    Space {
        name: DEFAULT,
        heads: &["svm-linear"],
        dimensions: &[("svm.scaling", "standard,unit"), ("svm.c", "0.0001,0.001,0.01,0.1,1,10")],
    },
    Space {
        name: DEFAULT,
        heads: &["svm-linfa"],
        dimensions: &[("svm.c", "1,4"), ("svm.gamma", "0.25,0.5")],
    },
    Space {
        name: DEFAULT,
        heads: &["linear"],
        dimensions: &[("linear.l2_penalties", "[1],[0.1],[0.01],[0.001],[0.0001]")],
    },
];

/// The space of this name for a head, if it has one.
#[must_use]
pub fn space(head: &str, name: &str) -> Option<&'static [Dimension]> {
    let space = SPACES.iter().find(|space| space.name == name && space.heads.contains(&head))?;
    Some(space.dimensions)
}

/// The names of a head's spaces.
pub fn names(head: &str) -> impl Iterator<Item = &'static str> {
    SPACES.iter().filter(move |space| space.heads.contains(&head)).map(|space| space.name)
}
