//! Past reports: listed, shown, compared, and nothing else of the disk.

use std::path::{Path, PathBuf};

use crate::client::{Client, get};
use crate::support::{Running, options};

/// The reports of this repository.
fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results")
}

#[test]
fn reports_are_listed_and_shown_with_their_plots() {
    let mut options = options();
    // From what the repository keeps: where the runs were made, their predictions are next to them.
    let kept = tempfile::tempdir().unwrap();
    for name in ["utkface-folds", "utkface-random80-embedding"] {
        let report = facefold_report::Report::read(&results().join(name)).unwrap();
        facefold_report::write(&report, &kept.path().join(name)).unwrap();
    }
    options.results = Some(kept.path().to_owned());
    let server = Running::start(&options);
    let list = get(server.address, "/v1/results").json();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"utkface-folds"), "{names:?}");
    let report = get(server.address, "/v1/results/utkface-folds").json();
    let task = &report["tasks"][0];
    assert_eq!((task["task"].as_str(), task["protocol"].as_str()), (Some("gender"), Some("folds")));
    let metric = &task["heads"][0]["metrics"][0];
    assert_eq!(metric["name"], "accuracy");
    assert!((0.9..1.0).contains(&metric["mean"].as_f64().unwrap()));
    assert!(task["words"].as_str().is_some());
    let plot = report["plots"][0].as_str().unwrap();
    let plot = get(server.address, &format!("/v1/results/utkface-folds/plots/{plot}"));
    assert_eq!(plot.header("content-type"), Some("image/svg+xml"));
    assert!(plot.text().contains("<svg"));
    let whole = get(server.address, "/v1/results/utkface-folds/report.html");
    let written = std::fs::read_to_string(kept.path().join("utkface-folds/report.html")).unwrap();
    assert_eq!(whole.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(whole.text(), written);
    let policy = whole.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{policy}");
    assert_eq!(get(server.address, "/v1/results/none/report.html").status, 404);
    // Without their predictions, which are not kept in the repository, two reports can be shown
    // side by side but not tested row by row; the response has a note, and no path.
    let both = "/v1/compare?first=utkface-folds&second=utkface-random80-embedding";
    let compared = get(server.address, both);
    assert_eq!(compared.status, 422);
    assert!(!compared.text().contains(env!("CARGO_MANIFEST_DIR")));
}

#[test]
fn a_report_that_takes_anothers_place_is_shown_whatever_the_clock_says() {
    let mut options = options();
    let kept = tempfile::tempdir().unwrap();
    let one = kept.path().join("one");
    let text = std::fs::read_to_string(results().join("utkface-folds/report.json")).unwrap();
    let now = std::time::SystemTime::now();
    // Of the same length and the same time, as where the clock stands still or was set back.
    let put = |text: &str| {
        let path = one.join("report.json");
        std::fs::create_dir_all(&one).unwrap();
        let partial = path.with_extension("partial");
        std::fs::write(&partial, text).unwrap();
        std::fs::File::options().append(true).open(&partial).unwrap().set_modified(now).unwrap();
        std::fs::rename(partial, path).unwrap();
    };
    let date = text.split("\"date\":\"").nth(1).unwrap()[..10].to_owned();
    options.results = Some(kept.path().to_owned());
    put(&text);
    let server = Running::start(&options);
    for day in ["2001-01-01", "2002-02-02", "2003-03-03"] {
        let class = format!("c{}", &day[1..4]);
        put(&text.replace(&date, day).replace("\"male\"", &format!("\"{class}\"")));
        let list = get(server.address, "/v1/results").json();
        assert_eq!(list[0]["date"], day);
        let page = get(server.address, "/v1/results/one").json();
        assert_eq!(page["provenance"]["date"], day);
        let plots = page["plots"].as_array().unwrap().iter().map(|plot| plot.as_str().unwrap());
        let confusion = plots.into_iter().find(|plot| plot.contains("confusion")).unwrap();
        let plot = get(server.address, &format!("/v1/results/one/plots/{confusion}"));
        assert!(plot.text().contains(&class), "{}", plot.text());
    }
}

#[test]
fn plots_are_those_of_the_report_whatever_lies_next_to_it() {
    let mut options = options();
    let kept = tempfile::tempdir().unwrap();
    let from = results().join("utkface-folds/report.json");
    for name in ["alone", "among"] {
        std::fs::create_dir_all(kept.path().join(name)).unwrap();
        std::fs::copy(&from, kept.path().join(name).join("report.json")).unwrap();
    }
    options.results = Some(kept.path().to_owned());
    let server = Running::start(&options);
    let page = |name: &str| get(server.address, &format!("/v1/results/{name}")).json();
    let plot = |path: &str| get(server.address, &format!("/v1/results/{path}"));
    let own = page("alone")["plots"].as_array().unwrap().clone();
    assert!(own.len() > 3, "{own:?}");
    // Another run's: one of the same name, and one that this report has none of.
    let first = own[0].as_str().unwrap();
    std::fs::create_dir(kept.path().join("among/plots")).unwrap();
    for file in [first, "class-calibration.svg"] {
        std::fs::write(kept.path().join("among/plots").join(file), "<svg/>").unwrap();
    }
    assert_eq!(page("among")["plots"], serde_json::json!(own));
    for file in own.iter().map(|file| file.as_str().unwrap()) {
        let [alone, among] = ["alone", "among"].map(|name| plot(&format!("{name}/plots/{file}")));
        assert!(alone.text().len() > 500 && alone.text().starts_with("<svg"), "{file}");
        assert_eq!(alone.text(), among.text(), "{file}");
    }
    assert_eq!(plot("among/plots/class-calibration.svg").status, 404);
}

#[test]
fn no_path_leads_out_of_the_reports() {
    let mut options = options();
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let shown = directory.path().join("shown");
    std::fs::create_dir_all(secret.join("plots")).unwrap();
    std::fs::create_dir_all(shown.join("plain")).unwrap();
    for report in [&secret, &shown.join("plain")] {
        std::fs::copy(results().join("utkface-folds/report.json"), report.join("report.json"))
            .unwrap();
    }
    std::fs::write(secret.join("plots/a.svg"), "<svg/>").unwrap();
    std::fs::write(secret.join("a.svg"), "<svg/>").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(&secret, shown.join("link")).unwrap();
        // A report of its own, whose plots or file lie elsewhere.
        for name in ["plots-away", "file-away"] {
            std::fs::create_dir(shown.join(name)).unwrap();
        }
        std::fs::copy(secret.join("report.json"), shown.join("plots-away/report.json")).unwrap();
        symlink(secret.join("plots"), shown.join("plots-away/plots")).unwrap();
        symlink(secret.join("report.json"), shown.join("file-away/report.json")).unwrap();
    }
    options.results = Some(shown);
    let server = Running::start(&options);
    assert_eq!(get(server.address, "/v1/results/plain").status, 200);
    let mut client = Client::connect(server.address);
    for path in [
        "/v1/results/link",
        "/v1/results/file-away",
        "/v1/results/plots-away/plots/a.svg",
        "/v1/results/..",
        "/v1/results/../secret",
        "/v1/results/..%2fsecret",
        "/v1/results/%2e%2e%2fsecret",
        "/v1/results/..%5csecret",
        "/v1/results/plain%00",
        "/v1/results/plain%2f..%2f..%2fsecret",
        "/v1/results/./plain",
        "/v1/results//plain",
        "/v1/results/plain/plots/..%2f..%2f..%2fsecret%2fa.svg",
        "/v1/results/plain/plots/../report.json",
        "/v1/results/plain/plots/report.json",
        "/v1/results/%ff",
        "/v1/compare?first=..%2fsecret&second=plain",
        "//etc/passwd",
        "/page.js/../../Cargo.toml",
    ] {
        let status = client.request("GET", path, "", b"").status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    let list = client.request("GET", "/v1/results", "", b"").json();
    assert_eq!(list.as_array().unwrap().len(), if cfg!(unix) { 2 } else { 1 });
}

#[test]
fn a_server_without_reports_lists_none() {
    let server = Running::start(&options());
    assert_eq!(get(server.address, "/v1/results").json(), serde_json::json!([]));
    assert_eq!(get(server.address, "/v1/results/utkface-folds").status, 404);
}

#[test]
fn changed_reports_are_served_at_once() {
    let mut options = options();
    let shown = tempfile::tempdir().unwrap();
    let report = |name: &str| {
        std::fs::create_dir_all(shown.path().join(name)).unwrap();
        let to = shown.path().join(name).join("report.json");
        std::fs::copy(results().join("utkface-folds/report.json"), &to).unwrap();
        to
    };
    let first = report("first");
    std::fs::create_dir(shown.path().join("broken")).unwrap();
    std::fs::write(shown.path().join("broken/report.json"), "{}").unwrap();
    options.results = Some(shown.path().to_owned());
    let server = Running::start(&options);
    let names = || -> Vec<String> {
        let list = get(server.address, "/v1/results").json();
        let name = |line: &serde_json::Value| line["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(), ["first"]);
    assert_eq!(get(server.address, "/v1/results/broken").status, 422);
    report("second");
    assert_eq!(names(), ["first", "second"]);
    // One that is too large to be read is left out, and so is one that is gone.
    let large = std::fs::OpenOptions::new().append(true).open(&first).unwrap();
    large.set_len(100 << 20).unwrap();
    std::fs::remove_dir_all(shown.path().join("second")).unwrap();
    assert_eq!(names(), Vec::<String>::new());
    assert_eq!(get(server.address, "/v1/results/first").status, 422);
}
