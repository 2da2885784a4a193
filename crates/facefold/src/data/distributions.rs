//! A plot of a data set's labels.

use facefold_datasets::check::Check;
use facefold_report::Drawing;
use facefold_report::plot::{Histogram, histograms};

/// The distributions of age, gender and subject sizes that a check of a data set found.
#[must_use]
pub fn distributions(found: &Check) -> Drawing {
    let title = format!("{}: {} samples of {} subjects", found.kind, found.samples, found.subjects);
    let of = &found.histograms;
    let panels = [&of.age, &of.gender, &of.subject_sizes].map(|histogram| Histogram {
        title: &histogram.title,
        bars: histogram.bars.iter().map(|bar| (bar.label.as_str(), bar.count)).collect(),
    });
    histograms(&title, &panels)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use facefold_datasets::check::{CheckOptions, check};
    use facefold_datasets::{DatasetKind, LoadOptions, load};

    use super::distributions;

    fn svg_of(list: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("manifest.csv"), list).unwrap();
        let root: &Path = directory.path();
        let set = load(DatasetKind::Manifest, root, &LoadOptions::default()).unwrap();
        distributions(&check(&set, &CheckOptions::default())).svg()
    }

    #[test]
    fn every_bar_of_a_set_is_drawn_without_anything_from_elsewhere() {
        let svg =
            svg_of("path,subject,age,gender\na.jpg,ann,4,f\nb.jpg,ann,34,f\nc.jpg,bob,36,m\n");
        for text in ["manifest: 3 samples of 2 subjects", "samples by gender", ">female<", ">male<"]
        {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(!svg.contains("href") && !svg.contains("@import"));
        assert!(svg_of("path\na.jpg\n").contains("subjects by number of samples: none named"));
    }
}
