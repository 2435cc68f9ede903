//! Pages against the source: tests that are named as evidence, as `package::test`, exist; every kind of document has its place in the data model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names of functions by package.
type Functions = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    "..".into()
}

/// Adds what is in a folder; a folder with a manifest begins a package.
fn walk(folder: &Path, package: &str, found: &mut Functions) {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let own = manifest.as_ref().and_then(|manifest| manifest.get("package")?.get("name")?.as_str());
    let package = own.unwrap_or(package);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                walk(&path, package, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let declared = text.lines().filter_map(|line| line.trim_start().trim_start_matches("async ").strip_prefix("fn "));
            let names = declared.filter_map(|rest| rest.split(['(', '<']).next()).map(str::to_owned);
            found.entry(package.to_owned()).or_default().extend(names);
        }
    }
}

/// What stands in backticks and has the form of a test's name here.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|quoted| quoted.split_once("::")).filter(|(package, _)| package.starts_with("commun-"))
}

/// The last column of each row of the tables of a page, heads left out.
fn last_column(page: &str) -> Vec<&str> {
    let rows = page.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    let last = rows.filter_map(|row| row.rsplit('|').next().map(str::trim));
    last.filter(|cell| *cell != "test" && !cell.trim_matches([':', '-']).is_empty()).collect()
}

#[track_caller]
fn assert_exist<'a>(page: &str, tests: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut functions = Functions::new();
    walk(&root(), "", &mut functions);
    let (mut count, mut missing) = (0, Vec::new());
    for (package, test) in tests {
        count += 1;
        let name = test.rsplit("::").next().unwrap();
        if !functions.get(package).is_some_and(|names| names.contains(name)) {
            missing.push(format!("{package}::{test}"));
        }
    }
    assert!(count > 0, "{page} names no test");
    assert!(missing.is_empty(), "{page} names tests that do not exist: {missing:#?}");
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

#[test]
fn every_row_of_the_page_of_faults_names_a_test_and_each_exists() {
    let page = read("docs/reference/faults.md");
    let cells = last_column(&page);
    let bare: Vec<&&str> = cells.iter().filter(|cell| named(cell).next().is_none()).collect();
    assert!(bare.is_empty(), "rows without a test end with: {bare:#?}");
    assert_exist("docs/reference/faults.md", cells.into_iter().flat_map(named));
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let page = read("docs/threat-model.md");
    assert_exist("docs/threat-model.md", named(&page));
}

/// Tags and versions of all documents, as `const TAG` declares them.
fn tags(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tags(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let declared = text.lines().filter_map(|line| line.trim().strip_prefix("const TAG: &'static str = \"")?.strip_suffix("\";"));
            found.extend(declared.map(str::to_owned));
        }
    }
}

#[test]
fn every_document_stands_in_the_data_model_with_its_version() {
    let page = read("docs/reference/data-model.md");
    let mut found = BTreeSet::new();
    tags(&root().join("crates"), &mut found);
    assert!(found.len() >= 12 && found.contains("commun/permit/v1"), "{found:?}");
    let missing: Vec<&String> = found.iter().filter(|tag| !page.contains(&format!("`{tag}`"))).collect();
    assert!(missing.is_empty(), "docs/reference/data-model.md does not describe {missing:?}");
    let stale = page.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("commun/") && !found.contains(*quoted));
    assert_eq!(stale.collect::<Vec<_>>(), Vec::<&str>::new(), "docs/reference/data-model.md describes documents that there are not");
}

#[test]
fn tests_are_looked_for_in_backticks_in_the_last_column() {
    let page = "| fault | test |\n|---|---|\n| `commun-a::no` | text, `commun-b::this`<br>`commun-c::m::that`, `x::y` |\n`commun-d::no`\n";
    let found: Vec<_> = last_column(page).into_iter().flat_map(named).collect();
    assert_eq!(found, [("commun-b", "this"), ("commun-c", "m::that")]);
}
