//! How many augmented versions of a picture make rare ages as common as others.

use facefold_core::{AgeGroups, Sample, Targets, Task};

use crate::policy::LabelPolicy;
use crate::select::select;

/// For each sample, how many augmented versions bring its age range to about the
/// size of the commonest one, and at most `most`; 0 for samples whose age range is not known.
///
/// The ranges are the nine of [`AgeGroups::nine`], or Adience's eight where those fit more of the
/// labels.
#[must_use]
pub fn oversampling(samples: &[Sample], most: u32) -> Vec<u32> {
    let mut versions = vec![0; samples.len()];
    let by = |groups: AgeGroups| select(samples, Task::AgeGroup, LabelPolicy::Nearest, &groups);
    let (nine, eight) = (by(AgeGroups::nine()), by(AgeGroups::adience()));
    let chosen = if eight.rows.len() > nine.rows.len() { eight } else { nine };
    let Targets::Classes { indices, count } = &chosen.targets else { return versions };
    let mut sizes = vec![0_usize; *count];
    for &index in indices {
        sizes[index] += 1;
    }
    let commonest = sizes.iter().copied().max().unwrap_or(0);
    for (&row, &index) in chosen.rows.iter().zip(indices) {
        let wanted = (commonest as f64 / sizes[index] as f64).round() as u32;
        versions[row] = wanted.saturating_sub(1).min(most);
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::oversampling;
    use facefold_core::Sample;

    fn samples(ages: &[(&str, usize)]) -> Vec<Sample> {
        let of = |&(age, count): &(&str, usize)| {
            let sample = Sample { raw_age: age.to_owned(), ..Sample::unlabelled("x.jpg") };
            std::iter::repeat_n(sample, count)
        };
        ages.iter().flat_map(of).collect()
    }

    #[test]
    fn rare_ages_get_versions_up_to_the_most() {
        let samples = samples(&[("30", 12), ("7", 4), ("80", 1), ("", 2)]);
        let versions = oversampling(&samples, 5);
        let expected = [vec![0; 12], vec![2; 4], vec![5], vec![0; 2]].concat();
        assert_eq!(versions, expected);
        assert_eq!(oversampling(&samples, 0), vec![0; samples.len()]);
    }

    #[test]
    fn ranges_of_adience_count_as_they_are() {
        let samples = samples(&[("(25, 32)", 6), ("(60, 100)", 2)]);
        assert_eq!(oversampling(&samples, 9), [vec![0; 6], vec![2; 2]].concat());
    }
}
