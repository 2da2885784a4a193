//! Label files: Adience lists, CSV of all kinds, MATLAB metadata, and lists of paths.

use facefold_core::{AgeGroups, Task};
use facefold_datasets::{Dataset, DatasetKind, LabelPolicy, LoadOptions, load, select};

use crate::scratch;

/// Loads a set of one label file, and asks of it what a user would.
fn loaded(kind: DatasetKind, file: &str, bytes: &[u8]) {
    let folder = scratch::folder(kind.as_str());
    scratch::write(&folder, file, bytes);
    if let Ok(dataset) = load(kind, &folder, &LoadOptions::default()) {
        check(&dataset);
    }
}

fn check(dataset: &Dataset) {
    assert_eq!(dataset.rows, dataset.distinct() + dataset.duplicates + dataset.dropped.len());
    assert_eq!(dataset.samples.len(), dataset.distinct() + dataset.unlabelled);
    for sample in &dataset.samples {
        let leaves = |part| matches!(part, std::path::Component::ParentDir);
        assert!(!sample.path.components().any(leaves), "{}", sample.path.display());
    }
    let groups = AgeGroups::adience();
    for policy in LabelPolicy::ALL {
        for task in [Task::AgeGroup, Task::Age, Task::Gender, Task::Class] {
            let selection = select(&dataset.samples, task, policy, &groups);
            assert_eq!(selection.rows.len() + selection.dropped_rows(), dataset.samples.len());
        }
    }
}

const ADIENCE: &str = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\t\
                       fiducial_yaw_angle\tfiducial_score\n";

pub(crate) fn adience(bytes: &[u8]) {
    let folder = scratch::folder(DatasetKind::Adience.as_str());
    if !folder.join("fold_4_data.txt").exists() {
        for fold in 1..5 {
            scratch::write(&folder, &format!("fold_{fold}_data.txt"), ADIENCE.as_bytes());
        }
    }
    loaded(DatasetKind::Adience, "fold_0_data.txt", bytes);
}

pub(crate) fn adience_seeds() -> Vec<Vec<u8>> {
    let rows = "1@N0\ta.jpg\t1\t(0, 2)\tf\t0\t0\t9\t9\t0\t0\t9\r\n\
                1@N0\ta.jpg\t1\t(0, 2)\tf\t0\t0\t9\t9\t0\t0\t9\r\n\n\
                2@N0\tb.jpg\t2\tNone\tu\t0\t0\t9\t9\t-5\t0\t9\n\
                3@N0\tc.jpg\t3\t35\t\t0\t0\t9\t9\t0\t45\t9\n";
    vec![ADIENCE.into(), format!("{ADIENCE}{rows}").into()]
}

pub(crate) fn manifest(bytes: &[u8]) {
    loaded(DatasetKind::Manifest, "manifest.csv", bytes);
}

pub(crate) fn manifest_seeds() -> Vec<Vec<u8>> {
    let all = "path,subject,age,gender,fold,split,race,class\r\n\
               ./a/1.jpg,ann,25-32,Female,3,val,Asian,x\r\n\
               a/2.jpg,,35,,,,,\r\n\"a,\"\"3\"\".jpg\",bob,60+,u,,train,unknown,y\n";
    vec![all.into(), "\u{feff}path\nonly.jpg\n".into(), "path,age\na.jpg,\"(25, 32)\"\n".into()]
}

pub(crate) fn fairface(bytes: &[u8]) {
    loaded(DatasetKind::FairFace, "fairface_label_train.csv", bytes);
}

pub(crate) fn fairface_seeds() -> Vec<Vec<u8>> {
    let rows = "file,age,gender,race,service_test\n\
                train/1.jpg,50-59,Male,East Asian,True\n\
                val/2.jpg,more than 70,Female,Latino_Hispanic,False\n";
    vec![rows.into(), "file,age,gender\ntrain/../../x.jpg,20-29,Male\n".into()]
}

pub(crate) fn utkface(bytes: &[u8]) {
    loaded(DatasetKind::UtkFace, "labels.csv", bytes);
}

pub(crate) fn utkface_seeds() -> Vec<Vec<u8>> {
    let name = "24_0_1_20170116220224657.jpg.chip.jpg";
    let all = "file,age,gender,race,subject,fold,split\n";
    vec![
        format!("file,age,gender\n{name},24,0\n").into(),
        "file,age,gender\n../x.jpg,24,f\n".into(),
        format!("{all}{name},24,1,Black,ann,2,test\nother.jpg,1-3,m,,,,\n{name},,,,,,\n").into(),
    ]
}

pub(crate) fn mat(bytes: &[u8]) {
    loaded(DatasetKind::ImdbWiki, "wiki.mat", bytes);
}

pub(crate) fn mat_seeds() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../datasets/tests/fixtures/wiki.mat").to_vec(),
        include_bytes!("../../datasets/tests/fixtures/imdb.mat").to_vec(),
        include_bytes!("../../datasets/tests/fixtures/small_plain.mat").to_vec(),
        include_bytes!("../../datasets/tests/fixtures/small_packed.mat").to_vec(),
    ]
}

pub(crate) fn path_list(bytes: &[u8]) {
    if let Ok(paths) = facefold_core::pictures::list(bytes) {
        assert!(paths.iter().all(|path| !path.as_os_str().is_empty()));
    }
}

pub(crate) fn path_list_seeds() -> Vec<Vec<u8>> {
    let utf16 = "é.jpg\r\nb.jpg".encode_utf16().flat_map(u16::to_le_bytes);
    vec![
        b"a.jpg\r\nb c.jpg\n\n".to_vec(),
        b"a\nb.jpg\0c.jpg\0".to_vec(),
        b"\xef\xbb\xbfa.jpg\n\xe9.jpg".to_vec(),
        [0xff, 0xfe].into_iter().chain(utf16).collect(),
    ]
}
