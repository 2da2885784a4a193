//! More rows than a fit may hold in memory, and more than are fitted at once.

use facefold_core::rng::seeded;
use facefold_core::{FeatureDataset, FeatureMatrix, FeatureRows, RowValues, Targets};
use facefold_heads::{HeadOptions, registry};
use ndarray::Array2;
use rand::Rng as _;

use crate::support::{accuracy, blobs, fit, probabilities, quick, test_rows};

/// Gigabytes of some hundred rows.
const LITTLE: f64 = 5e-6;

#[test]
fn rows_read_anew_in_each_step_give_the_same_linear_head() {
    let (plain, classes) = blobs(&[[0.0, 0.0], [1.0, 1.0]], 4_000, 1.0, 1);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let targets = Targets::Classes { indices: classes, count: 2 };
    let fitted = |memory: f64| {
        let mut options = HeadOptions::default();
        options.linear.memory_gb = memory;
        fit("linear", &options, &matrix, &targets, 1).state_dict()
    };
    assert!(fitted(4.0) == fitted(LITTLE));
}

/// In windows of one block of 512 rows, of rows that lie class by class: each window is of one or two classes.
#[test]
fn an_mlp_learns_in_windows_and_repeats() {
    let (plain, classes) = blobs(&[[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]], 12_000, 1.0, 2);
    // Row i lies at place i / 3 of its class.
    let values: RowValues = {
        let mut values = vec![0.0; 24_000];
        for row in 0..12_000 {
            let place = row % 3 * 4_000 + row / 3;
            values[2 * place..2 * place + 2].copy_from_slice(plain.row(row).as_slice().unwrap());
        }
        std::sync::Arc::new(values)
    };
    let order = (0..12_000_u32).map(|row| row % 3 * 4_000 + row / 3).collect();
    let rows = FeatureRows::selected(vec![(values, 2)], order).unwrap();
    let matrix = FeatureMatrix::of_rows(rows, None).unwrap();
    let targets = Targets::Classes { indices: classes.clone(), count: 3 };
    let rows = test_rows(&matrix);
    let right = |memory: f64| {
        let mut options = quick();
        (options.mlp.memory_gb, options.mlp.epochs) = (memory, 8);
        let [one, two] = [(); 2].map(|()| fit("mlp", &options, &matrix, &targets, 3));
        assert!(one.state_dict() == two.state_dict(), "the same seed gives the same bits");
        let windows = one.log().notes.iter().any(|note| note.contains("mlp.memory_gb"));
        let own: Vec<usize> = rows.iter().map(|&row| classes[row]).collect();
        (accuracy(&probabilities(one.predict(&matrix, &rows).unwrap()), &own), windows)
    };
    let (whole, windows) = (right(4.0), right(LITTLE));
    assert_eq!((whole.1, windows.1), (false, true));
    assert!(whole.0 > 0.8 && windows.0 > 0.9 * whole.0, "{whole:?} {windows:?}");
}

/// 300,000 rows: the fit begins at the optimum of a subsample, and must end at that of all rows.
#[test]
fn a_start_from_a_subsample_ends_at_the_optimum_of_all_rows() {
    let n = 300_000;
    let mut generator = seeded(4, "many rows");
    let plain = Array2::from_shape_fn((n, 3), |_| generator.random_range(-1.0..1.0_f32));
    let noise: Vec<f32> = (0..n).map(|_| generator.random_range(-20.0..20.0)).collect();
    let years: Vec<f32> = (0..n)
        .map(|row| 45.0 + 15.0 * plain[[row, 0]] - 6.0 * plain[[row, 1]] + noise[row])
        .collect();
    let matrix = FeatureMatrix::new(plain.clone(), None).unwrap();
    let targets = Targets::exact_years(years.clone());
    let training = FeatureDataset::new(&matrix, (0..n).collect(), targets.clone()).unwrap();
    let nothing = FeatureDataset::new(&matrix, Vec::new(), targets.select(&[])).unwrap();
    let mut options = HeadOptions::default();
    options.linear.l2_penalties = vec![1e-6];
    options.svm.memory_gb = 0.001;
    (options.svm.c, options.svm.epsilon) = (vec![1e3], 1e-6);
    // Least squares by its normal equations; columns are nearly uncorrelated, so that each step is exact
    // to a millionth after a few.
    let mean = |values: &dyn Fn(usize) -> f64| (0..n).map(values).sum::<f64>() / n as f64;
    let centre: Vec<f64> = (0..3).map(|c| mean(&|row| f64::from(plain[[row, c]]))).collect();
    let middle = mean(&|row| f64::from(years[row]));
    let at = |row: usize, column: usize| f64::from(plain[[row, column]]) - centre[column];
    let mut slopes = [0.0; 3];
    for _ in 0..20 {
        for column in 0..3 {
            let rest = |row: usize| {
                let others = (0..3).filter(|&c| c != column).map(|c| slopes[c] * at(row, c));
                f64::from(years[row]) - middle - others.sum::<f64>()
            };
            let (product, square) =
                (mean(&|row| rest(row) * at(row, column)), mean(&|row| at(row, column).powi(2)));
            slopes[column] = product / square;
        }
    }
    for name in ["linear", "svm-linear"] {
        let head = registry::head(name, &options).unwrap();
        let fitted = head.fit(&training, &nothing, 1).unwrap().head;
        let found =
            crate::support::years(fitted.predict(&matrix, &(0..200).collect::<Vec<_>>()).unwrap());
        for (row, found) in found.iter().enumerate() {
            let expected = middle + (0..3).map(|c| slopes[c] * at(row, c)).sum::<f64>();
            assert!((f64::from(*found) - expected).abs() < 0.02, "{name}: {found} {expected}");
        }
    }
}
