//! `runtime/sip/FLOWS.md`: every cell of its table names tests that are there, or a footnote.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What is wrong with a table, given the tests that there are.
fn wrong(document: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows: Vec<_> = document.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    let (Some(head), true) = (rows.first(), rows.len() > 2) else { return vec!["there is no table".to_owned()] };
    for row in &rows[2..] {
        if row.len() != head.len() {
            wrong.push(format!("`{}` has {} cells, not {}", row[0], row.len(), head.len()));
        }
        for (cell, column) in row.iter().zip(head).skip(1) {
            let place = format!("{}, {column}", row[0]);
            match (cell.strip_prefix('–'), names(cell)) {
                (Some(note), _) if note.starts_with("[^") && note.ends_with(']') => {
                    if !document.lines().any(|line| line.starts_with(&format!("{note}: "))) {
                        wrong.push(format!("{place}: there is no footnote {note}"));
                    }
                }
                (None, named) if !named.is_empty() => {
                    let missing = named.iter().filter(|name| !tests.contains(**name));
                    wrong.extend(missing.map(|name| format!("{place}: there is no test `{name}`")));
                }
                _ => wrong.push(format!("{place}: `{cell}` names no test and has no footnote")),
            }
        }
    }
    wrong
}

fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_start_matches('|').trim_end_matches('|').split('|').map(str::trim).collect()
}

/// What stands in backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// All functions below a `#[test]` or a `#[tokio::test]`.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            tests(&path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some((_, rest)) = line.split_once("fn ")
                    && is_test
                {
                    found.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_flow_has_its_tests() {
    let mut found = BTreeSet::new();
    for folder in ["runtime", "tests"] {
        tests(&root().join(folder), &mut found);
    }
    let document = fs::read_to_string(root().join("runtime/sip/FLOWS.md")).unwrap();
    let wrong = wrong(&document, &found);
    assert!(wrong.is_empty(), "runtime/sip/FLOWS.md:\n{}", wrong.join("\n"));
    for flow in ["INVITE", "CANCEL", "UPDATE", "PRACK", "REFER", "INFO", "timer", "glare", "forking", "registration"] {
        assert!(document.contains(flow), "there is no row of {flow}");
    }
}

#[test]
fn a_table_that_is_wrong_is_told() {
    let tests = BTreeSet::from(["there".to_owned()]);
    let table = |cell: &str| format!("| flow | in |\n|---|---|\n| BYE | {cell} |\n\n[^why]: so.\n");
    assert!(wrong(&table("`there`"), &tests).is_empty());
    assert!(wrong(&table("–[^why]"), &tests).is_empty());
    for cell in ["", "–", "there", "`gone`", "`there` `gone`", "–[^nowhere]", "`there` | `there`"] {
        assert_eq!(wrong(&table(cell), &tests).len(), 1, "{cell}");
    }
    assert_eq!(wrong("nothing", &tests).len(), 1);
}
