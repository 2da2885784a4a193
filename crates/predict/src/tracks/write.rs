//! The tracks of a video as a table for the terminal and as CSV.

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold_core::Gender;
use facefold_core::text::printable;

use super::TrackSummary;
use crate::csv::{label, number, text};
use crate::prediction::ClassPrediction;

/// The columns of [`csv_line`].
pub const COLUMNS: [&str; 13] = [
    "track",
    "first_seconds",
    "last_seconds",
    "frames",
    "gender",
    "gender_probability",
    "age_group",
    "age",
    "age_low",
    "age_high",
    "class",
    "class_probability",
    "bundle",
];

/// One line a track; empty columns are left out.
#[must_use]
pub fn table(people: &[TrackSummary]) -> String {
    type Column<'a> = (&'static str, Box<dyn Fn(&TrackSummary) -> Option<String> + 'a>);
    let percent = |class: &Option<ClassPrediction>| {
        class.as_ref().map(|class| {
            format!("{} ({:.0} %)", printable(&class.label), 100.0 * class.probability)
        })
    };
    let several = people.iter().any(|summary| summary.bundle != people[0].bundle);
    let seen = |summary: &TrackSummary| {
        clock(summary.first_seconds) + " to " + &clock(summary.last_seconds)
    };
    let age = |summary: &TrackSummary| {
        let age = summary.age?;
        Some(match summary.age_low.zip(summary.age_high) {
            Some((low, high)) => format!("{age:.0} ({low:.0} to {high:.0})"),
            None => format!("{age:.0}"),
        })
    };
    let columns: Vec<Column<'_>> = vec![
        ("track", Box::new(|summary| Some(summary.track.to_string()))),
        ("seen", Box::new(|summary| Some(seen(summary)))),
        ("frames", Box::new(|summary| Some(summary.frames.to_string()))),
        ("bundle", Box::new(|summary| several.then(|| printable(&summary.bundle).into_owned()))),
        ("gender", Box::new(|summary| percent(&summary.gender))),
        ("age group", Box::new(|summary| percent(&summary.age_group))),
        ("age", Box::new(age)),
        ("class", Box::new(|summary| percent(&summary.class))),
    ];
    let shown: Vec<&Column<'_>> = columns
        .iter()
        .filter(|(_, cell)| people.iter().any(|summary| cell(summary).is_some()))
        .collect();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(shown.iter().map(|(name, _)| *name));
    for summary in people {
        table.add_row(shown.iter().map(|(_, cell)| cell(summary).unwrap_or_default()));
    }
    table.to_string()
}

/// `1:02.4` for 62.4 seconds.
fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// The line of one track under [`COLUMNS`]; cells without a head are empty.
#[must_use]
pub fn csv_line(summary: &TrackSummary) -> String {
    let gender = summary.gender.as_ref().and_then(|gender| Gender::parse(&gender.label));
    let letter = gender.map(Gender::letter);
    let cells = [
        summary.track.to_string(),
        summary.first_seconds.to_string(),
        summary.last_seconds.to_string(),
        summary.frames.to_string(),
        letter.unwrap_or_default().to_owned(),
        number(summary.gender.as_ref().map(|gender| gender.probability)),
        label(summary.age_group.as_ref()),
        number(summary.age),
        number(summary.age_low),
        number(summary.age_high),
        label(summary.class.as_ref()),
        number(summary.class.as_ref().map(|class| class.probability)),
        text(&summary.bundle),
    ];
    cells.join(",")
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, clock, csv_line, table};
    use crate::prediction::{ClassPrediction, FacePrediction};
    use crate::tracks::TrackAggregator;

    #[test]
    fn a_track_is_one_csv_line() {
        let gender =
            ClassPrediction::new(vec![("female".to_owned(), 0.75), ("male".to_owned(), 0.25)]);
        let prediction = FacePrediction {
            bounding_box: Some([0.0, 0.0, 9.0, 9.0].into()),
            gender,
            age: Some(30.0),
            age_low: Some(25.0),
            age_high: Some(37.0),
            ..FacePrediction::empty("", "faces")
        };
        let mut people = TrackAggregator::new(2.0);
        people.add(1, &[prediction]);
        let line = csv_line(&people.all()[0]);
        assert_eq!(line, "1,0.5,0.5,1,f,0.75,,30,25,37,,,faces");
        assert_eq!(line.split(',').count(), COLUMNS.len());
        let text = table(&people.all());
        assert!(text.contains("0:00.5 to 0:00.5") && text.contains("30 (25 to 37)"), "{text}");
        assert!(!text.contains("class") && !text.contains("bundle"), "{text}");
        assert_eq!(clock(62.44), "1:02.4");
    }
}
