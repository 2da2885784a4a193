//! Tests and intervals against SciPy 1.17 and statsmodels 0.15.

use facefold_evaluate::statistics::bootstrap::bootstrap;
use facefold_evaluate::statistics::classical::{
    clopper_pearson, cohens_d, corrected_t, detectable_difference, holm, mcnemar, wilson,
};
use facefold_evaluate::statistics::permutation::{DRAWS, sign_flip};
use facefold_evaluate::statistics::sums::SubjectSums;

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected}");
}

// from statsmodels.stats.contingency_tables import mcnemar
// for b, c in [(25, 10), (3, 9), (7, 7)]:
//     t = [[50, b], [c, 40]]
//     mcnemar(t, exact=True).pvalue
//     mcnemar(t, exact=False, correction=True)  # statistic, pvalue
#[test]
fn mcnemar_matches_statsmodels() {
    for (b, c, exact, statistic, p) in [
        (25, 10, 0.016_673_847_800_120_715, 5.6, 0.017_960_477_526_078_79),
        (3, 9, 0.145_996_093_75, 2.083_333_333_333_333_5, 0.148_914_673_178_761_8),
    ] {
        let found = mcnemar(b, c);
        close(found.exact_p, exact, 1e-12);
        close(found.chi_squared, statistic, 1e-12);
        close(found.chi_squared_p, p, 1e-9);
        assert_eq!(found.exact_p, mcnemar(c, b).exact_p);
    }
    // Equal counts: statsmodels squares 0 - 1; a corrected distance is never below 0 here.
    assert_eq!((mcnemar(7, 7).exact_p, mcnemar(7, 7).chi_squared), (1.0, 0.0));
    assert_eq!((mcnemar(0, 0).exact_p, mcnemar(0, 0).chi_squared_p), (1.0, 1.0));
}

// from statsmodels.stats.proportion import proportion_confint
// proportion_confint(87, 120, method='wilson'), proportion_confint(0, 30, method='wilson')
#[test]
fn wilson_matches_statsmodels() {
    let interval = wilson(87.0 / 120.0, 120);
    close(interval.low, 0.639_070_341_724_231_9, 1e-9);
    close(interval.high, 0.796_971_033_387_155_1, 1e-9);
    let none = wilson(0.0, 30);
    close(none.low, 0.0, 1e-12);
    close(none.high, 0.113_513_393_173_968_8, 1e-9);
}

// scipy.stats.beta.ppf([.025, .975], [3, 4], [98, 97]), scipy.stats.beta.ppf(.975, 1, 299)
// 2.5 hits, as of seeds with 2 and 3, have the lower end of 2 and the upper end of 3.
#[test]
fn the_exact_interval_matches_scipy() {
    let three = clopper_pearson(3.0, 100);
    close(three.low, 0.006_229_971_538_306_395, 1e-9);
    close(three.high, 0.085_176_052_974_280_02, 1e-9);
    assert_eq!(clopper_pearson(2.5, 100).high, three.high);
    assert_eq!(clopper_pearson(2.5, 100).low, clopper_pearson(2.0, 100).low);
    let none = clopper_pearson(0.0, 299);
    close(none.high, 0.012_261_595_907_535_044, 1e-9);
    assert_eq!((none.low, clopper_pearson(5.0, 5).high), (0.0, 1.0));
}

// from statsmodels.stats.multitest import multipletests
// multipletests([0.01, 0.04, 0.03, 0.005], method='holm')[1]
// multipletests([0.6, 0.5, 0.0001], method='holm')[1]
#[test]
fn holm_matches_statsmodels() {
    for (found, expected) in holm(&[0.01, 0.04, 0.03, 0.005]).iter().zip([0.03, 0.06, 0.06, 0.02]) {
        close(*found, expected, 1e-12);
    }
    for (found, expected) in holm(&[0.6, 0.5, 0.0001]).iter().zip([1.0, 1.0, 0.0003]) {
        close(*found, expected, 1e-12);
    }
    assert!(holm(&[]).is_empty());
}

// d = np.array([0.021, 0.013, -0.004, 0.030, 0.017]); r = 0.25
// t = d.mean() / np.sqrt((1 / 5 + r) * d.var(ddof=1)); 2 * stats.t.sf(abs(t), 4)
// d.mean() / d.std(ddof=1); (stats.norm.ppf(.975) + stats.norm.ppf(.8)) * 0.013
#[test]
fn corrected_t_and_effect_size_match_scipy() {
    let differences = [0.021, 0.013, -0.004, 0.030, 0.017];
    let found = corrected_t(&differences, 0.25).unwrap();
    close(found.t, 1.830_417_261_289_717_6, 1e-12);
    close(found.p_value, 0.141_159_178_562_554_4, 1e-9);
    assert_eq!(found.degrees, 4);
    close(cohens_d(&differences).unwrap(), 1.227_881_227_029_841, 1e-12);
    close(detectable_difference(0.013), 0.036_420_607_835_468_584, 1e-9);
    assert_eq!(corrected_t(&[0.5], 0.25), None);
    assert_eq!(corrected_t(&[0.5, 0.5], 0.25), None);
}

fn one_row_each(differences: &[f64]) -> SubjectSums {
    SubjectSums::of_values(&(0..differences.len()).collect::<Vec<_>>(), differences)
}

// s = np.array([3, -1, 2, 2, 0, 5, -2, 1, 1, 4.])
// stats.permutation_test((s,), lambda x, axis: x.sum(axis=axis), permutation_type='samples',
//                        n_resamples=np.inf, vectorized=True)
#[test]
fn few_subjects_are_tested_exactly_as_scipy_does() {
    let sums = one_row_each(&[3.0, -1.0, 2.0, 2.0, 0.0, 5.0, -2.0, 1.0, 1.0, 4.0]);
    let found = sign_flip(&sums, 1);
    close(found.p_value, 0.082_031_25, 1e-12);
    close(found.statistic, 1.5, 1e-12);
    assert!(found.exact);
    assert_eq!(found.patterns, 512, "nine subjects differ");
}

// s = np.array([(i * 37) % 11 - 4.2 for i in range(60)])
// stats.permutation_test((s,), lambda x, axis: x.sum(axis=axis), permutation_type='samples',
//     n_resamples=400000, vectorized=True, batch=10000, random_state=np.random.default_rng(1))
#[test]
fn many_subjects_are_tested_as_scipy_does_within_the_draws() {
    let differences: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 11) - 4.2).collect();
    let found = sign_flip(&one_row_each(&differences), 1);
    // Four standard errors of a share of 0.1 among 20,000 draws.
    close(found.p_value, 0.104_029_739_925_650_19, 0.0085);
    assert!(!found.exact);
    assert_eq!(found, sign_flip(&one_row_each(&differences), 1), "seeded");
}

#[test]
fn a_clear_difference_has_the_smallest_possible_p() {
    let found = sign_flip(&one_row_each(&[1.0; 200]), 1);
    close(found.p_value, 1.0 / (DRAWS + 1) as f64, 1e-12);
    let none = sign_flip(&one_row_each(&[0.0; 200]), 1);
    assert_eq!(none.p_value, 1.0);
}

/// Twenty rows each of four people say no more than four people do.
#[test]
fn rows_of_one_subject_are_not_independent() {
    let subjects: Vec<usize> = (0..80).map(|row| row / 20).collect();
    let differences: Vec<f64> =
        subjects.iter().map(|&subject| [1.0, 1.0, 1.0, 1.0][subject]).collect();
    close(
        sign_flip(&SubjectSums::of_values(&subjects, &differences), 1).p_value,
        2.0 / 16.0,
        1e-12,
    );
    assert!(sign_flip(&one_row_each(&differences), 1).p_value < 0.001);
}

// n = np.array([1 + (i * 7) % 5 for i in range(40)]); k = np.array([(i * 13) % (m + 1) for i, m in
// enumerate(n)]) stats.bootstrap((k, n), lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
// paired=True,
//     n_resamples=400000, batch=10000, method='percentile', vectorized=True,
//     random_state=np.random.default_rng(1))  # confidence_interval, standard_error
#[test]
fn the_bootstrap_by_subject_matches_scipy_within_the_draws() {
    let (mut subjects, mut correct) = (Vec::new(), Vec::new());
    for subject in 0..40 {
        let rows = 1 + subject * 7 % 5;
        let hits = subject * 13 % (rows + 1);
        for row in 0..rows {
            subjects.push(subject);
            correct.push(if row < hits { 1.0 } else { 0.0 });
        }
    }
    let sums = SubjectSums::of_values(&subjects, &correct);
    let accuracy = |totals: &[f64]| vec![totals[1] / totals[0]];
    let found = bootstrap(&sums, &accuracy, 1)[0];
    close(found.estimate, 0.483_333_333_333_333_34, 1e-12);
    // A 2.5 % quantile of 10,000 draws has a standard error of about 0.0014 here.
    close(found.interval.low, 0.383_458_646_616_541_35, 0.005);
    close(found.interval.high, 0.584_745_762_711_864_4, 0.005);
    close(found.standard_error, 0.051_334_037_162_162_9, 0.0015);
    assert_eq!(found, bootstrap(&sums, &accuracy, 1)[0], "seeded");
}
