//! What a search tries: settings given or named, as configurations of each head.

use facefold_core::rng::{Rng, seeded};
use facefold_core::{Head, HeadError};
use facefold_evaluate::{Budget, Configuration};
use facefold_heads::{HeadOptions, registry, spaces};
use serde_json::Value;

use super::dimension::{Dimension, Values};
use crate::error::{Error, Result};
use crate::options::set_option;

/// More configurations than this are surely a mistake: with the usual budget it would take days.
const MOST: usize = 10_000;

/// Where configurations come from.
pub(super) struct Space<'a> {
    /// `mlp.dropout=0.2,0.4` and the like; where there are none, the named space is taken.
    pub(super) given: &'a [String],
    /// Name of a space.
    pub(super) named: &'a str,
    /// Draw so many at random instead of taking all combinations.
    pub(super) random: Option<usize>,
    /// Seed of the draw.
    pub(super) seed: u64,
}

/// What is tried for one head.
pub(super) struct Trials {
    /// The head's name.
    pub(super) head: String,
    /// First the settings as given, which win ties; no two make the same head.
    pub(super) configurations: Vec<Configuration>,
    /// What early steps save on.
    pub(super) budget: Budget,
}

impl Space<'_> {
    /// The configurations of each head, around the settings given with `--set`.
    ///
    /// # Errors
    /// [`Error::Options`] where a setting, a value or a space is none, or no head reads a setting.
    pub(super) fn of_heads(&self, heads: &[String], options: &HeadOptions) -> Result<Vec<Trials>> {
        let given: Vec<Dimension> = self
            .given
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(Error::options)?;
        let mut read = vec![false; given.len()];
        let mut all: Vec<Trials> = Vec::new();
        for head in heads {
            if all.iter().any(|trials| trials.head == *head) {
                continue;
            }
            let own = if given.is_empty() { self.named_of(head)? } else { given.clone() };
            let mut of_head = Vec::new();
            for (index, dimension) in own.into_iter().enumerate() {
                if dimension.concerns(head, options)? {
                    if let Some(read) = read.get_mut(index) {
                        *read = true;
                    }
                    of_head.push(dimension);
                }
            }
            if !given.is_empty() && of_head.is_empty() {
                return Err(Error::options(format!("`{head}` reads none of the settings to try")));
            }
            let configurations = self.configurations(head, options, &of_head)?;
            all.push(Trials { head: head.clone(), configurations, budget: budget(head, options)? });
        }
        if let Some(unread) = read.iter().position(|read| !read).filter(|_| !given.is_empty()) {
            return Err(Error::options(format!(
                "no head given reads `{}`, or all its values mean the same",
                given[unread].name
            )));
        }
        Ok(all)
    }

    fn named_of(&self, head: &str) -> Result<Vec<Dimension>> {
        registry::head(head, &HeadOptions::default()).map_err(Error::options)?;
        let Some(space) = spaces::space(head, self.named) else {
            let known: Vec<&str> = spaces::names(head).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::options(format!(
                "`{head}` has no space `{}` to search (it has: {known}); say what to try with --grid",
                self.named
            )));
        };
        space
            .iter()
            .map(|(name, values)| format!("{name}={values}").parse().map_err(Error::options))
            .collect()
    }

    fn configurations(
        &self,
        head: &str,
        options: &HeadOptions,
        dimensions: &[Dimension],
    ) -> Result<Vec<Configuration>> {
        let wanted = match self.random {
            Some(count) => count,
            None => grid_size(dimensions)?,
        };
        if wanted == 0 || wanted > MOST {
            return Err(Error::options(format!(
                "expected 1 to {MOST} configurations of `{head}`, found {wanted}"
            )));
        }
        let mut generator = seeded(self.seed, &format!("configurations of {head}"));
        let mut known = vec![settings_of(head, options, &Configuration::default())?];
        let mut found = vec![Configuration::default()];
        for number in 0..wanted {
            let configuration = match self.random {
                Some(_) => drawn(dimensions, &mut generator),
                None => combination(dimensions, number),
            };
            let settings = settings_of(head, options, &configuration)?;
            if !known.contains(&settings) {
                known.push(settings);
                found.push(configuration);
            }
        }
        Ok(found)
    }
}

/// The head of a configuration around given settings, with a share of its epochs.
///
/// # Errors
/// [`HeadError::Setting`] where a setting is none of the head's or out of range.
pub(super) fn head_with(
    head: &str,
    options: &HeadOptions,
    Configuration(settings): &Configuration,
    share: f64,
) -> Result<Box<dyn Head>, HeadError> {
    let start = options.start.clone();
    let mut document =
        serde_json::to_value(options).map_err(|error| HeadError::Setting(error.to_string()))?;
    for (name, value) in settings {
        set_option(&mut document, name, value.clone()).map_err(HeadError::Setting)?;
    }
    let shown = |error: serde_json::Error| {
        let settings: Vec<String> =
            settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        HeadError::Setting(format!("{}: {error}", settings.join(" ")))
    };
    let mut options: HeadOptions = serde_json::from_value(document).map_err(shown)?;
    options.start = start;
    options.mlp.epochs = part(options.mlp.epochs, share);
    options.mlp.min_steps = part(options.mlp.min_steps, share);
    registry::head(head, &options)
}

/// A share of a number, at least 1 of what is not 0.
fn part(whole: usize, share: f64) -> usize {
    (whole as f64 * share).ceil() as usize
}

/// Heads whose fits go in epochs read their number; the others are given fewer subjects.
fn budget(head: &str, options: &HeadOptions) -> Result<Budget> {
    let mut longer = options.clone();
    longer.mlp.epochs += 1;
    let none = Configuration::default();
    let reads = settings_of(head, options, &none)? != settings_of(head, &longer, &none)?;
    Ok(if reads { Budget::Epochs } else { Budget::Subjects })
}

fn settings_of(head: &str, options: &HeadOptions, configuration: &Configuration) -> Result<Value> {
    let head = head_with(head, options, configuration, 1.0).map_err(Error::options)?;
    Ok(head.settings())
}

impl Dimension {
    /// Whether the head reads the setting: whether a value changes anything of it.
    fn concerns(&self, head: &str, options: &HeadOptions) -> Result<bool> {
        let as_given = settings_of(head, options, &Configuration::default())?;
        for value in self.samples() {
            let configuration = Configuration([(self.name.clone(), value)].into());
            if settings_of(head, options, &configuration)? != as_given {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn grid_size(dimensions: &[Dimension]) -> Result<usize> {
    let mut size = 1_usize;
    for dimension in dimensions {
        let Values::List(values) = &dimension.values else {
            return Err(Error::options(format!(
                "`{}` is a range; say with --random how many configurations to draw",
                dimension.name
            )));
        };
        size = size.saturating_mul(values.len());
    }
    Ok(size)
}

/// The combination of this number, the last dimension changing fastest.
fn combination(dimensions: &[Dimension], number: usize) -> Configuration {
    let mut left = number;
    let mut settings = std::collections::BTreeMap::new();
    for dimension in dimensions.iter().rev() {
        if let Values::List(values) = &dimension.values {
            settings.insert(dimension.name.clone(), values[left % values.len()].clone());
            left /= values.len();
        }
    }
    Configuration(settings)
}

fn drawn(dimensions: &[Dimension], generator: &mut Rng) -> Configuration {
    let draw = |dimension: &Dimension| (dimension.name.clone(), dimension.draw(generator));
    Configuration(dimensions.iter().map(draw).collect())
}

#[cfg(test)]
mod tests {
    use super::{Space, Trials, head_with};
    use facefold_evaluate::{Budget, Configuration};
    use facefold_heads::HeadOptions;

    fn trials(
        heads: &[&str],
        given: &[&str],
        random: Option<usize>,
    ) -> Result<Vec<Trials>, String> {
        let given: Vec<String> = given.iter().map(ToString::to_string).collect();
        let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
        let space = Space { given: &given, named: "small", random, seed: 7 };
        space.of_heads(&heads, &HeadOptions::default()).map_err(|error| error.to_string())
    }

    fn shown(configuration: &Configuration) -> String {
        serde_json::to_string(configuration).unwrap()
    }

    #[test]
    fn a_grid_has_all_combinations_once_and_the_settings_given_first() {
        // A dropout of 0.4 at 0.003 is the default.
        let given = ["mlp.dropout=0.2,0.4", "mlp.learning_rate=0.001,0.003"];
        let [of_mlp] = &trials(&["mlp"], &given, None).unwrap()[..] else { panic!() };
        let shown: Vec<String> = of_mlp.configurations.iter().map(shown).collect();
        assert_eq!(
            shown,
            [
                "{}",
                r#"{"mlp.dropout":0.2,"mlp.learning_rate":0.001}"#,
                r#"{"mlp.dropout":0.2,"mlp.learning_rate":0.003}"#,
                r#"{"mlp.dropout":0.4,"mlp.learning_rate":0.001}"#,
            ]
        );
        assert_eq!(of_mlp.budget, Budget::Epochs);
    }

    #[test]
    fn each_head_has_the_settings_it_reads() {
        let given =
            ["mlp.hidden_layer_sizes=[64],[64,32]", "svm.c=1,[2,4]", "class_weights=balanced"];
        let of_heads = trials(&["mlp", "svm"], &given, None).unwrap();
        let keys = |trials: &Trials| -> Vec<String> {
            trials.configurations[1].0.keys().cloned().collect()
        };
        assert_eq!(keys(&of_heads[0]), ["class_weights", "mlp.hidden_layer_sizes"]);
        assert_eq!(keys(&of_heads[1]), ["class_weights", "svm.c"]);
        assert_eq!(of_heads[1].budget, Budget::Subjects);
        let message = trials(&["mlp"], &["svm.c=1,2", "mlp.dropout=0,0.1"], None).err().unwrap();
        assert!(message.contains("no head given reads `svm.c`"), "{message}");
    }

    #[test]
    fn random_configurations_lie_in_their_ranges_and_repeat() {
        let given = ["svm.c=0.1..100:log", "svm.gamma=0.25,0.5", "svm.degree=2..3:int"];
        let draw = || trials(&["svm"], &given, Some(40)).unwrap().remove(0).configurations;
        let configurations = draw();
        assert_eq!(configurations.len(), 41);
        assert_eq!(configurations, draw(), "seeded");
        let costs: Vec<f64> =
            configurations[1..].iter().map(|set| set.0["svm.c"].as_f64().unwrap()).collect();
        assert!(costs.iter().all(|cost| (0.1..=100.0).contains(cost)), "{costs:?}");
        // Half of the draws of a logarithmic range lie below its geometric middle.
        let low = costs.iter().filter(|&&cost| cost < 10.0_f64.sqrt()).count();
        assert!((10..=30).contains(&low), "{low}");
    }

    #[test]
    fn mistakes_are_named() {
        for (given, random, expected) in [
            ("mlp.dropuot=0.1,0.2", None, "`mlp.dropuot` is no setting of a head"),
            ("mlp.dropout=0.1..0.4", None, "say with --random"),
            ("mlp.dropout", None, "expected HEAD.KEY=VALUES"),
            ("mlp.dropout=0.1,2", None, "at least 0 and below 1"),
            ("mlp.dropout=0.4..0.1", Some(3), "below its end"),
            ("mlp.dropout=0..1:log", Some(3), "above 0"),
            ("mlp.dropout=", None, "expected a value"),
        ] {
            let message = trials(&["mlp"], &[given], random).err().unwrap();
            assert!(message.contains(expected), "{given}: {message}");
        }
        let message = trials(&["majority"], &[], None).err().unwrap();
        assert!(message.contains("has no space `small`"), "{message}");
    }

    #[test]
    fn every_named_space_makes_heads() {
        for (head, _) in facefold_heads::registry::names() {
            for named in facefold_heads::spaces::names(head) {
                let space = Space { given: &[], named, random: Some(5), seed: 1 };
                let heads = [head.to_owned()];
                let found = space.of_heads(&heads, &HeadOptions::default()).unwrap();
                assert!(found[0].configurations.len() > 1, "{head} {named}");
            }
        }
    }

    #[test]
    fn a_share_of_the_budget_is_a_share_of_the_epochs() {
        let epochs = |share: f64| {
            let none = Configuration::default();
            let head = head_with("mlp", &HeadOptions::default(), &none, share).unwrap();
            let settings = head.settings();
            (settings["mlp"]["epochs"].as_u64(), settings["mlp"]["min_steps"].as_u64())
        };
        assert_eq!(epochs(1.0), (Some(12), Some(600)));
        assert_eq!(epochs(1.0 / 3.0), (Some(4), Some(200)));
        assert_eq!(epochs(1e-9), (Some(1), Some(1)));
    }
}
