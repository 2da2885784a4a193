use facefold_core::Task;

use super::{ExternalPredictions, MatchedPredictions};

fn read(text: &str) -> Result<ExternalPredictions, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.csv");
    fs_err::write(&path, text).unwrap();
    ExternalPredictions::read(&path).map_err(|error| error.to_string())
}

fn of(text: &str, task: Task) -> Result<MatchedPredictions, String> {
    let classes: &[&str] = match task {
        Task::Gender => &["female", "male"],
        Task::AgeGroup => &["0-2", "4-6", "60-100"],
        Task::Class => &["a", "b"],
        Task::Age => &[],
    };
    let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
    let pictures = ["1.jpg", "x/2.jpg", "3.jpg"].map(str::to_owned);
    read(text)?.of_pictures(task, &classes, &pictures).map_err(|error| error.to_string())
}

#[test]
fn rows_are_matched_by_their_paths_and_counted() {
    let text = "Path,Gender,other\n./x/2.jpg,woman,1\n1.jpg,M,2\n9.jpg,F,3\n3.jpg,nan,4\n";
    let found = of(text, Task::Gender).unwrap();
    assert_eq!(found.values, [Some(vec![0.0, 1.0]), Some(vec![1.0, 0.0]), None]);
    assert_eq!((found.others, found.has_probabilities), (1, false));
    assert_eq!(read(text).unwrap().tasks(), [Task::Gender]);
    let found = of("path,age\n3.jpg,41.5\n", Task::Age).unwrap();
    assert_eq!(found.values, [None, None, Some(vec![41.5])]);
}

#[test]
fn probabilities_may_be_of_all_classes_of_one_of_two_or_of_the_predicted_one() {
    let found = of("path,p_female\n1.jpg,0.75\n", Task::Gender).unwrap();
    assert_eq!(
        (found.values[0].as_deref(), found.has_probabilities),
        (Some(&[0.75, 0.25][..]), true)
    );
    let found = of("path,class,p_a,p_b\n1.jpg,b,0.4,0.6\n", Task::Class).unwrap();
    let values = found.values[0].clone().unwrap();
    assert!((values[0] - 0.4).abs() < 1e-6 && (values[1] - 0.6).abs() < 1e-6, "{values:?}");
    let found = of("path,age_group,age_group_probability\n1.jpg,(4 - 6),0.5\n", Task::AgeGroup);
    assert_eq!(found.unwrap().values[0], Some(vec![0.25, 0.5, 0.25]));
    let found = of("path,age-group\n1.jpg,60+\nx/2.jpg,5\n", Task::AgeGroup).unwrap();
    assert_eq!(found.values[0], Some(vec![0.0, 0.0, 1.0]));
    assert_eq!(found.values[1], Some(vec![0.0, 1.0, 0.0]));
    // Of equally probable classes the one that is named.
    let found = of("path,class,p_a,p_b\n1.jpg,b,0.5,0.5\n", Task::Class).unwrap();
    let values = found.values[0].clone().unwrap();
    assert!(values[1] > values[0], "{values:?}");
}

#[test]
fn a_column_of_probabilities_is_not_taken_for_two_classes() {
    let classes = ["Happy face", "happy-face"].map(str::to_owned);
    let table = read("path,class,p_happy face\n1.jpg,happy-face,0.9\n").unwrap();
    let message = table.of_pictures(Task::Class, &classes, &["1.jpg".to_owned()]).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("both `Happy face` and `happy-face`"), "{message}");
}

#[test]
fn probabilities_of_many_classes_may_be_rounded() {
    let classes: Vec<String> = (0..10).map(|class| format!("c{class}")).collect();
    let names = (0..10).map(|class| format!(",p_c{class}")).collect::<Vec<_>>().concat();
    let table =
        read(&format!("path,class{names}\n1.jpg,c0,0.12{}\n", ",0.1".repeat(8) + ",0.12")).unwrap();
    let found = table.of_pictures(Task::Class, &classes, &["1.jpg".to_owned()]).unwrap();
    assert!(found.values[0].as_ref().is_some_and(|values| values[0] > 0.11));
}

#[test]
fn tables_that_cannot_be_read_name_the_line() {
    for (text, task, expected) in [
        ("file,age\n1.jpg,3\n", Task::Age, "expected a column `path` (or `key`)"),
        ("path,gendr\n1.jpg,f\n", Task::Gender, "expected a column of predictions"),
        ("path,age\n1.jpg,3\n./1.jpg,4\n", Task::Age, "line 3: expected each picture once"),
        ("path,age,Age\n1.jpg,3,4\n", Task::Age, "expected each column once"),
        ("path,age\n1.jpg,old\n", Task::Age, "line 2: expected an age in years, found `old`"),
        ("path,age\n1.jpg,1987\n", Task::Age, "found `1987`"),
        ("path,gender\n1.jpg,x\n", Task::Gender, "one of `female`, `male`, found `x`"),
        ("path,age_group\n1.jpg,3\n", Task::AgeGroup, "found `3`"),
        ("path,age\n1.jpg,3\n", Task::Gender, "expected a column `gender`"),
        ("path,p_female\n1.jpg,1.5\n", Task::Gender, "a probability from 0 to 1"),
        ("path,p_female,p_male\n1.jpg,0.5,0.1\n", Task::Gender, "sum up to 1"),
        ("path,age_group,p_0-2\n1.jpg,0-2,1\n", Task::AgeGroup, "without `p_4-6`"),
        (
            "path,age_group,p_0-2,p_4-6,p_60-100\n1.jpg,0-2,0.5,0.4,0.05\n",
            Task::AgeGroup,
            "sum up to 1",
        ),
        ("path,gender,p_female\n1.jpg,m,0.9\n", Task::Gender, "the most probable class"),
        ("path,gender,gender_probability\n1.jpg,m,0.3\n", Task::Gender, "which is the highest"),
    ] {
        let message = of(text, task).unwrap_err();
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn the_named_class_is_predicted_where_others_are_as_probable() {
    let text = "path,gender,gender_probability\n1.jpg,f,0.5\nx/2.jpg,m,0.50\n3.jpg,m,0.499\n";
    let found = of(text, Task::Gender).unwrap();
    for (values, named) in found.values.into_iter().flatten().zip([0, 1, 1]) {
        assert!(values[named] > values[1 - named], "{values:?}");
        assert!((values[named] - 0.5).abs() < 1e-6, "{values:?}");
    }
    // A third, rounded down.
    let text = "path,age_group,age_group_probability\n1.jpg,60+,0.33\nx/2.jpg,4-6,0.3333\n";
    let found = of(text, Task::AgeGroup).unwrap();
    for (values, named) in found.values.into_iter().flatten().zip([2, 1]) {
        let others = values.iter().enumerate().filter(|(class, _)| *class != named);
        assert!(others.into_iter().all(|(_, value)| *value < values[named]), "{values:?}");
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{values:?}");
    }
}

#[test]
fn columns_without_a_value_are_not_read() {
    let text = "path,gender,gender_probability,age_group,age,class,class_probability\n\
                1.jpg,f,,,31.5,,\nx/2.jpg,m,,,,nan,\n";
    let table = read(text).unwrap();
    assert_eq!(table.tasks(), [Task::Gender, Task::Age]);
    assert!(!of(text, Task::Gender).unwrap().has_probabilities);
    let message = of(text, Task::Class).unwrap_err();
    assert!(message.contains("a column `class` with values for the task class"), "{message}");
    let message = read("path,gender\n1.jpg,\n").unwrap_err();
    assert!(message.contains("with a value in some row, found `path`, `gender`"), "{message}");
}

#[test]
fn a_row_without_its_probability_has_no_prediction() {
    let found = of("path,gender,gender_probability\n1.jpg,f,0.8\n3.jpg,m,\n", Task::Gender);
    let found = found.unwrap();
    assert!(found.values[0].is_some() && found.has_probabilities);
    assert_eq!(found.values[2], None);
}

#[test]
fn a_quote_that_is_not_closed_is_refused_with_its_line() {
    let rows = |cells: [&str; 4]| {
        let rows = cells.iter().enumerate().map(|(row, cell)| format!("{row}.jpg,3,{cell}\n"));
        format!("path,age,note\n{}", rows.collect::<String>())
    };
    assert_eq!(read(&rows(["\"odd, dark\"", "\"two\nlines\"", "5\"", "x"])).unwrap().len(), 4);
    for cells in [["x", "\"odd", "x", "x"], ["x", "\"odd", "\"odd", "x"], ["x", "\"5", "5\"", "x"]]
    {
        let message = read(&rows(cells)).unwrap_err();
        assert!(message.contains("x.csv`: line 3: expected the quoted cell"), "{message}");
    }
}
