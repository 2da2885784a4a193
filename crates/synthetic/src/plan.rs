//! The plan of the dataset: subjects, pictures and label rows, made before any picture is rendered.

use facefold_core::Gender;
use facefold_core::rng::{Rng, seeded};
use rand::Rng as _;
use rand::seq::SliceRandom;

use crate::MINIMUM_PICTURES_A_SUBJECT;
use crate::SyntheticOptions;
use crate::identity::Identity;
use crate::random::{between, chance, normal};

/// Folds of the Adience protocol.
pub(super) const FOLDS: usize = 5;

/// One age group of Adience: its label, the ages drawn for it, its share of the subjects (the
/// published shares, evened out so that no group is nearly empty), and the odd strings that the
/// published lists use near these ages, with the ages that they mean.
struct Group {
    label: &'static str,
    ages: (f32, f32),
    share: f32,
    odd: &'static [(&'static str, f32)],
}

const GROUPS: [Group; 8] = [
    Group { label: "(0, 2)", ages: (0.2, 2.9), share: 0.14, odd: &[("2", 2.5), ("3", 3.5)] },
    Group { label: "(4, 6)", ages: (4.0, 6.9), share: 0.12, odd: &[("3", 3.5)] },
    Group {
        label: "(8, 12)",
        ages: (8.0, 12.9),
        share: 0.13,
        odd: &[("13", 13.5), ("(8, 23)", 13.0)],
    },
    Group {
        label: "(15, 20)",
        ages: (15.0, 20.9),
        share: 0.12,
        odd: &[("22", 22.5), ("13", 13.5), ("23", 23.5)],
    },
    Group {
        label: "(25, 32)",
        ages: (25.0, 32.9),
        share: 0.18,
        odd: &[
            ("(25, 23)", 24.0),
            ("34", 34.5),
            ("(27, 32)", 29.5),
            ("23", 23.5),
            ("29", 29.5),
            ("22", 22.5),
            ("32", 32.5),
        ],
    },
    Group {
        label: "(38, 43)",
        ages: (38.0, 43.9),
        share: 0.13,
        odd: &[
            ("35", 35.5),
            ("(38, 42)", 40.0),
            ("45", 45.5),
            ("36", 36.5),
            ("42", 42.5),
            ("(38, 48)", 43.0),
        ],
    },
    Group {
        label: "(48, 53)",
        ages: (48.0, 53.9),
        share: 0.09,
        odd: &[("55", 55.5), ("45", 45.5), ("56", 56.5), ("46", 46.5)],
    },
    Group {
        label: "(60, 100)",
        ages: (60.0, 88.0),
        share: 0.09,
        odd: &[("57", 57.5), ("58", 58.5)],
    },
];

/// Shares of the rows, close to those of the published lists.
const NO_AGE: f32 = 0.039;
const ODD_AGE: f32 = 0.066;
const NO_GENDER: f32 = 0.040;
const DUPLICATE: f32 = 0.006;
/// The share of infants whose gender the annotators left open (`u`).
const UNSURE_OF_INFANTS: f32 = 0.43;

/// A subject: its identity, its name, and its fold.
pub(super) struct Subject {
    pub id: String,
    pub identity: Identity,
    pub fold: usize,
    age: f32,
    group: usize,
}

/// One distinct row of a list: one picture and its labels.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Index into the plan's subjects.
    pub subject: usize,
    /// Number of the picture in the set, which seeds it.
    pub capture: usize,
    /// The true age at which it is rendered.
    pub years: f32,
    pub image: String,
    pub face_id: u32,
    pub age: &'static str,
    pub gender: &'static str,
    /// Where the face lay in a photograph that never was: x, y, dx, dy.
    pub place: [u32; 4],
    /// Degrees in steps of 5, as the published lists have it.
    pub tilt: i32,
    /// Degrees in steps of 15.
    pub yaw: i32,
    pub score: u32,
}

impl Row {
    pub(super) fn aligned_name(&self) -> String {
        format!("landmark_aligned_face.{}.{}", self.face_id, self.image)
    }

    pub(super) fn coarse_name(&self) -> String {
        format!("coarse_tilt_aligned_face.{}.{}", self.face_id, self.image)
    }
}

/// The whole set.
pub(super) struct Plan {
    pub subjects: Vec<Subject>,
    /// Distinct rows, subject by subject.
    pub rows: Vec<Row>,
    /// Rows that are duplicated in the lists.
    pub duplicates: Vec<usize>,
}

impl Plan {
    /// The plan of checked options.
    pub(super) fn new(options: &SyntheticOptions) -> Self {
        let rng = &mut seeded(options.seed, "drawn plan");
        let subjects = cast(options, rng);
        let mut rows = Vec::with_capacity(options.pictures);
        for (index, count) in counts(options, rng).into_iter().enumerate() {
            for _ in 0..count {
                rows.push(row(options.seed, index, &subjects[index], rows.len(), rng));
            }
        }
        mislabel(&mut rows, &subjects, rng);
        for row in &mut rows {
            let angles =
                subjects[row.subject].identity.angles(row.years, options.seed, row.capture);
            row.tilt = 5 * (angles.0 / 5.0).round() as i32;
            row.yaw = 15 * (angles.1 / 15.0).round() as i32;
        }
        let mut duplicates = pick(rows.len(), DUPLICATE, 2, rng);
        duplicates.sort_unstable();
        Self { subjects, rows, duplicates }
    }
}

/// The subjects, assigned so that each fold gets its part of every group and both genders.
fn cast(options: &SyntheticOptions, rng: &mut Rng) -> Vec<Subject> {
    let n = options.subjects;
    let sizes = apportion(n, 1, &GROUPS.each_ref().map(|group| group.share));
    let groups =
        sizes.iter().enumerate().flat_map(|(group, &size)| std::iter::repeat_n(group, size));
    let spacing = 89_000_000 / n as u32;
    let mut numbers: Vec<u32> = (0..n as u32).collect();
    numbers.shuffle(rng);
    groups
        .zip(numbers)
        .enumerate()
        .map(|(index, (group, number))| {
            let (low, high) = GROUPS[group].ages;
            let id = 10_000_000 + number * spacing + rng.random_range(0..spacing);
            Subject {
                id: format!("{id}@N0{}", rng.random_range(0..10)),
                identity: Identity::new(options.seed, index, Gender::ALL[index % 2]),
                fold: index % FOLDS,
                age: between(rng, low, high),
                group,
            }
        })
        .collect()
}

/// How many pictures each subject has: some many, some few, as in an album.
fn counts(options: &SyntheticOptions, rng: &mut Rng) -> Vec<usize> {
    let weights: Vec<f32> = (0..options.subjects).map(|_| normal(rng, 0.35).exp()).collect();
    apportion(options.pictures, MINIMUM_PICTURES_A_SUBJECT, &weights)
}

/// Splits `total` by `weights`, each part at least `least`, by the largest remainder.
fn apportion(total: usize, least: usize, weights: &[f32]) -> Vec<usize> {
    let spare = (total - least * weights.len()) as f64;
    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let exact: Vec<f64> = weights.iter().map(|&weight| spare * f64::from(weight) / sum).collect();
    let mut parts: Vec<usize> = exact.iter().map(|&share| least + share as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = total - parts.iter().sum::<usize>();
    for &index in order.iter().cycle().take(missing) {
        parts[index] += 1;
    }
    parts
}

fn row(seed: u64, index: usize, subject: &Subject, capture: usize, rng: &mut Rng) -> Row {
    let group = &GROUPS[subject.group];
    // Pictures of one person are months apart.
    let years = (subject.age + normal(rng, 0.4)).clamp(group.ages.0, group.ages.1);
    // Numbers rise with the picture, so no two pictures share a name.
    let number = 9_000_000_000 + capture as u64 * 1009 + rng.random_range(0..1009);
    let tag = seed.wrapping_add(rng.random::<u64>()) & 0xff_ffff_ffff;
    let width = rng.random_range(200..1400);
    Row {
        subject: index,
        capture,
        years,
        image: format!("{number}_{tag:010x}_o.jpg"),
        face_id: rng.random_range(1..=2300),
        age: group.label,
        gender: subject.identity.gender.letter(),
        place: [
            rng.random_range(0..2000),
            rng.random_range(0..1500),
            width,
            width + rng.random_range(0..3),
        ],
        tilt: 0,
        yaw: 0,
        score: rng.random_range(5..150),
    }
}

/// Gives some rows the odd and missing labels of the published lists. The odd ages are true: such
/// a picture is rendered at that age.
fn mislabel(rows: &mut [Row], subjects: &[Subject], rng: &mut Rng) {
    let mut turns = [0; GROUPS.len()];
    for index in pick(rows.len(), ODD_AGE, 2, rng) {
        let group = subjects[rows[index].subject].group;
        let odd = GROUPS[group].odd;
        (rows[index].age, rows[index].years) = odd[turns[group] % odd.len()];
        turns[group] += 1;
    }
    for row in rows.iter_mut() {
        if row.age == GROUPS[0].label && chance(rng, UNSURE_OF_INFANTS) {
            row.gender = "u";
        }
    }
    let ageless = pick(rows.len(), NO_AGE, 1, rng);
    // Faces of unknown age mostly lack the gender too.
    let genderless = pick(rows.len(), NO_GENDER, 1, rng).into_iter();
    for (index, other) in ageless.iter().zip(genderless) {
        rows[*index].age = "None";
        let index = if chance(rng, 0.7) { *index } else { other };
        rows[index].gender = "";
    }
}

/// Indices of a `share` of `n` rows, at least `least` of them.
fn pick(n: usize, share: f32, least: usize, rng: &mut Rng) -> Vec<usize> {
    let count = ((n as f64 * f64::from(share)).round() as usize).max(least).min(n);
    rand::seq::index::sample(rng, n, count).into_vec()
}
